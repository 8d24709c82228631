"""Pictures and texts in the place of tensors."""

import base64
import io
import json
import threading
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from torch import Tensor
from tritonclient.utils import InferenceServerException

from parity_exp.data import Preparation
from parity_exp.data.from_clients import pictures_of, text_sent
from tests.endpoint.live import SHAPE, live
from tests.endpoint.test_clients import PROTOCOLS, client, expected, parameters, queries, tensor
from tests.endpoint.test_limits import post

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def raw(protocol: ModuleType, name: str, elements: list[Any], **how: Any) -> Any:
    made = protocol.InferInput(name, [len(elements)], "BYTES")
    made.set_data_from_numpy(np.array(elements, dtype=object), **how)
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pictures_are_prepared_as_the_data_set_does(protocol: ModuleType) -> None:
    with live(prepare=pictures_of(SHAPE)) as made:
        asks = client(made, protocol)
        more = {"as_json": True} if protocol is tritonclient.grpc else {}
        assert [one["name"] for one in asks.get_model_metadata("base", **more)["inputs"]] == ["input", "image"]
        answer = asks.infer("base", [raw(protocol, "image", [png(one) for one in PICTURES])])
        values = (PICTURES / 255).astype(np.float32)
        np.testing.assert_allclose(answer.as_numpy("output"), expected(values), rtol=1e-5)
        with pytest.raises(InferenceServerException, match="element 1 is no image"):
            asks.infer("base", [raw(protocol, "image", [png(PICTURES[0]), b"none"])])
        with pytest.raises(InferenceServerException, match="expected one"):
            asks.infer("base", [raw(protocol, "text", [b"none"])])
        assert made.server.hub.waiting == 0


def test_pictures_go_in_json_as_base64() -> None:
    with live(prepare=pictures_of(SHAPE)) as made:
        data = [base64.b64encode(png(one)).decode() for one in PICTURES]
        body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3, 1], "data": [[one] for one in data]}]}
        status, answer, _ = post(made, json.dumps(body).encode())
        assert status == 200 and answer["outputs"][0]["shape"] == [3, 3]
        body["inputs"][0] |= {"shape": [1], "data": ["%%%"]}
        assert post(made, json.dumps(body).encode())[0] == 400


def measured(content: bytes) -> Tensor:
    """A query that says how long a text is."""
    return torch.full(SHAPE, float(len(text_sent(content))))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_go_as_they_are(protocol: ModuleType) -> None:
    with live(prepare=Preparation("text", measured)) as made:
        asks = client(made, protocol)
        for how in ({"binary_data": True}, {"binary_data": False}) if protocol is tritonclient.http else ({},):
            answer = asks.infer("base", [raw(protocol, "text", ["müde", "wach?"], **how)])
            assert answer.as_numpy("output")[:, 0].tolist() == [64, 80]
        with pytest.raises(InferenceServerException, match="UTF-8"):
            asks.infer("base", [raw(protocol, "text", [b"\xff\xff"])])


def test_who_sends_tensors_does_not_wait_for_pictures_of_others_and_a_server_drains_both() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(content: bytes) -> Tensor:
        begun.set()
        assert go_on.wait(30)
        return torch.ones(SHAPE)

    with live(prepare=Preparation("image", slow), settings={"queue": 2}) as made:
        found: list[Any] = []
        asks = client(made, tritonclient.http)
        thread = threading.Thread(
            target=lambda: found.append(
                client(made, tritonclient.http).infer("base", [raw(tritonclient.http, "image", [b"", b""])])
            )
        )
        thread.start()
        assert begun.wait(30)
        assert parameters(tritonclient.http, asks.infer("base", [tensor(tritonclient.http, queries())]))["source"]
        made.end()
        go_on.set()
        thread.join()
        assert found[0].as_numpy("output")[:, 0].tolist() == [16, 16]
        assert parameters(tritonclient.http, found[0])["latency_ms"] > 0
