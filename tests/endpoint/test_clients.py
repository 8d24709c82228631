"""Clients that exist: tritonclient over HTTP and gRPC, with all that it can ask for."""

import asyncio
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tests.endpoint.live import SHAPE, Live, live
from tests.endpoint.sleepy_pool import SleepyPool

PROTOCOLS = [tritonclient.http, tritonclient.grpc]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Live]:
    with live() as made:
        yield made


def client(endpoint: Live, protocol: ModuleType) -> Any:
    return protocol.InferenceServerClient(endpoint.grpc if "grpc" in protocol.__name__ else endpoint.http)


def tensor(protocol: ModuleType, values: np.ndarray, datatype: str = "FP32", **how: Any) -> Any:
    made = protocol.InferInput("input", list(values.shape), datatype)
    made.set_data_from_numpy(values, **how)
    return made


def queries(count: int = 1) -> np.ndarray:
    return np.random.default_rng(count).random((count, *SHAPE), dtype=np.float32)


def expected(values: np.ndarray) -> np.ndarray:
    sums = values.reshape(len(values), -1).sum(1)
    return np.stack([sums, 2 * sums, 0 * sums], axis=1)


def parameters(protocol: ModuleType, answer: Any) -> dict[str, Any]:
    found = answer.get_response()
    if protocol is tritonclient.http:
        return dict(found["parameters"])
    return {name: getattr(one, one.WhichOneof("parameter_choice")) for name, one in found.parameters.items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [1, 5])
def test_a_client_gets_the_models_predictions_and_where_they_came_from(
    endpoint: Live, protocol: ModuleType, count: int
) -> None:
    values = queries(count)
    answer = client(endpoint, protocol).infer("base", [tensor(protocol, values)], request_id="mine")
    np.testing.assert_allclose(answer.as_numpy("output"), expected(values), rtol=1e-5)
    told = parameters(protocol, answer)
    assert told["source"] == "own"
    assert set(str(told["instance"]).split(",")) <= {"0", "1"} and 0 < told["latency_ms"] < 60_000
    response = answer.get_response()
    assert (response["id"] if protocol is tritonclient.http else response.id) == "mine"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metadata_say_what_there_is(endpoint: Live, protocol: ModuleType) -> None:
    asks = client(endpoint, protocol)
    assert asks.is_server_live() and asks.is_server_ready() and asks.is_model_ready("base")
    assert asks.is_model_ready("base", "1")
    more = {"as_json": True} if protocol is tritonclient.grpc else {}
    about = asks.get_model_metadata("base", **more)
    assert about["inputs"][0] == {
        "name": "input", "datatype": "FP32", "shape": [type(about["inputs"][0]["shape"][0])(s) for s in (-1, *SHAPE)],
    }  # fmt: skip
    assert about["versions"] == ["1"]
    assert asks.get_server_metadata(**more)["name"] == "parity_exp"
    index = asks.get_model_repository_index(**more)
    assert (index if isinstance(index, list) else index["models"])[0]["state"] == "READY"


def test_metadata_over_http_say_k_r_policy_and_labels(endpoint: Live) -> None:
    about = client(endpoint, tritonclient.http).get_model_metadata("base")
    wanted = {"k": 2, "r": 1, "policy": "none", "labels": ["0", "1", "2"], "task": "classification"}
    assert about["parameters"] == wanted


def test_the_configuration_says_the_same_over_both_protocols(endpoint: Live) -> None:
    over_http = client(endpoint, tritonclient.http).get_model_config("base", "1")
    wanted = {"k": "2", "r": "1", "policy": "none", "labels": "0,1,2", "task": "classification"}
    assert {name: one["string_value"] for name, one in over_http["parameters"].items()} == wanted
    (given,) = over_http["input"]
    assert (given["name"], given["data_type"], given["dims"]) == ("input", "TYPE_FP32", list(SHAPE))
    assert over_http["output"] == [{"name": "output", "data_type": "TYPE_FP32", "dims": [3]}]
    over_grpc = client(endpoint, tritonclient.grpc).get_model_config("base", "1").config
    assert {name: one.string_value for name, one in over_grpc.parameters.items()} == wanted
    assert over_grpc.max_batch_size == over_http["max_batch_size"] == 64
    assert (over_grpc.input[0].name, over_grpc.input[0].data_type, list(over_grpc.input[0].dims)) == (
        "input", tritonclient.grpc.model_config_pb2.TYPE_FP32, list(SHAPE),
    )  # fmt: skip
    assert list(over_grpc.output[0].dims) == [3]
    for protocol in PROTOCOLS:
        with pytest.raises(InferenceServerException, match="no model"):
            client(endpoint, protocol).get_model_config("other")


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_bodies_may_be_compressed_both_ways(endpoint: Live, how: str) -> None:
    values = queries(8)
    answer = client(endpoint, tritonclient.http).infer(
        "base", [tensor(tritonclient.http, values)], request_compression_algorithm=how,
        response_compression_algorithm=how,
    )  # fmt: skip
    np.testing.assert_allclose(answer.as_numpy("output"), expected(values), rtol=1e-5)
    answer = client(endpoint, tritonclient.grpc).infer(
        "base", [tensor(tritonclient.grpc, values)], compression_algorithm=how
    )
    np.testing.assert_allclose(answer.as_numpy("output"), expected(values), rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_go_as_bytes_or_as_lists(endpoint: Live, binary: bool) -> None:
    values = queries(2)
    wanted = tritonclient.http.InferRequestedOutput("output", binary_data=binary)
    answer = client(endpoint, tritonclient.http).infer(
        "base", [tensor(tritonclient.http, values, binary_data=binary)], outputs=[wanted]
    )
    np.testing.assert_allclose(answer.as_numpy("output"), expected(values), rtol=1e-5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_classes_are_told_with_their_labels(endpoint: Live, protocol: ModuleType) -> None:
    wanted = protocol.InferRequestedOutput("output", class_count=2)
    answer = client(endpoint, protocol).infer("base", [tensor(protocol, queries())], outputs=[wanted])
    first, second = answer.as_numpy("output")[0]
    assert [one.decode().split(":")[1:] for one in (first, second)] == [["1", "1"], ["0", "0"]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_deadline_brings_the_default_prediction(protocol: ModuleType) -> None:
    with live(SleepyPool(), default=torch.tensor([0.0, 0.0, 7.0])) as made:
        answer = client(made, protocol).infer("base", [tensor(protocol, queries())], parameters={"deadline_ms": 30})
        assert parameters(protocol, answer)["source"] == "default"
        np.testing.assert_array_equal(answer.as_numpy("output"), [[0, 0, 7]])


@pytest.mark.parametrize(
    ("protocol", "more", "words"),
    [
        (protocol, more, words)
        for protocol in PROTOCOLS
        for more, words in [
            ({"model_name": "other"}, "no model"),
            ({"model_version": "7"}, "no version"),
            ({"parameters": {"deadline_ms": -1}}, "deadline_ms"),
            ({"parameters": {"exact": 3}}, "exact"),
        ]
    ],
)
def test_what_cannot_be_is_refused_in_words(
    endpoint: Live, protocol: ModuleType, more: dict[str, Any], words: str
) -> None:
    given = {"model_name": "base", "inputs": [tensor(protocol, queries())]} | more
    with pytest.raises(InferenceServerException, match=words):
        client(endpoint, protocol).infer(**given)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_shapes_and_infinite_numbers_are_refused(endpoint: Live, protocol: ModuleType) -> None:
    for values in (np.zeros((1, 2), np.float32), np.full((1, *SHAPE), np.inf, np.float32)):
        with pytest.raises(InferenceServerException, match=r"shape|finite"):
            client(endpoint, protocol).infer("base", [tensor(protocol, values)])


def test_clients_of_asyncio_are_served(endpoint: Live) -> None:
    values = queries(3)

    async def ask(protocol: Any, plain: ModuleType, address: str) -> Any:
        async with protocol.InferenceServerClient(address) as asks:
            answers = await asyncio.gather(*(asks.infer("base", [tensor(plain, values)]) for _ in range(20)))
            return [answer.as_numpy("output") for answer in answers]

    for protocol, plain, address in (
        (tritonclient.http.aio, tritonclient.http, endpoint.http),
        (tritonclient.grpc.aio, tritonclient.grpc, endpoint.grpc),
    ):
        for output in asyncio.run(ask(protocol, plain, address)):
            np.testing.assert_allclose(output, expected(values), rtol=1e-5)


def test_a_stream_of_grpc_is_answered_in_order(endpoint: Live) -> None:
    found: list[Any] = []
    asks = client(endpoint, tritonclient.grpc)
    asks.start_stream(lambda result, error: found.append((result, error)))
    for count in (1, 2, 3):
        asks.async_stream_infer("base", [tensor(tritonclient.grpc, queries(count))])
    asks.stop_stream()
    assert [result.as_numpy("output").shape[0] for result, error in found if error is None] == [1, 2, 3]


def test_an_exact_query_is_refused_by_no_policy_that_has_exact_answers(endpoint: Live) -> None:
    answer = client(endpoint, tritonclient.http).infer(
        "base", [tensor(tritonclient.http, queries())], parameters={"exact": True}
    )
    assert answer.get_response()["parameters"]["source"] == "own"


def test_metrics_count_what_was_answered(endpoint: Live) -> None:
    client(endpoint, tritonclient.http).infer("base", [tensor(tritonclient.http, queries())])
    with urllib.request.urlopen(f"http://{endpoint.http}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert values['parity_inference_request_success_total{model="base",version="1"}'] >= 1
    assert sum(value for name, value in values.items() if name.startswith("parity_instances{")) == 2
    with urllib.request.urlopen(f"http://{endpoint.http}/status") as answer:
        (status,) = json.load(answer)["models"]
    assert status["answers"] >= 1 and len(status["instances"]) == 2


def test_what_clients_got_is_recorded(tmp_path: Any) -> None:
    with live(folder=tmp_path / "run") as made:
        for _ in range(30):
            client(made, tritonclient.http).infer("base", [tensor(tritonclient.http, queries())])
    assert made.result is not None
    table = made.result.queries
    assert len(table) == 30 and set(table["source"]) == {"own"} and (table["latency_ms"] > 0).all()
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert made.result.metrics[next(key for key in made.result.metrics if key.endswith("/lost"))] == 0


@pytest.mark.skipif(shutil.which("perf_analyzer") is None, reason="needs Triton's perf_analyzer on the PATH")
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_measures_it(endpoint: Live, protocol: str) -> None:
    words = (
        "perf_analyzer -m base --input-data zero --measurement-mode count_windows --measurement-request-count 20 -s 999"
    )
    url = endpoint.http if protocol == "http" else endpoint.grpc
    done = subprocess.run(
        [*words.split(), "-i", protocol, "-u", url], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (rate,) = re.findall(r"throughput: ([\d.]+) infer/sec", done.stdout)
    assert float(rate) > 0
