"""The bytes of all requests together have a limit, whichever way they come, and however slowly."""

import gzip
import json
import threading
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from parity_exp.endpoint.settings import MIB, Settings
from tests.endpoint.half_sent import grpc_call, http_call, sent_to
from tests.endpoint.live import SHAPE, Live, live, metric, until
from tests.endpoint.sleepy_pool import SleepyPool
from tests.endpoint.test_hostile_grpc import Input, Request, call
from tests.endpoint.test_limits import ONE, ask_grpc, post

BODY = 20_000
TIGHT = {"body_mb": BODY / MIB, "in_flight_mb": 1.5 * BODY / MIB}
LARGE = json.dumps(ONE).encode().ljust(15_000)


def used(endpoint: Live) -> int:
    return endpoint.server.hub.room.used


def check_no_room(endpoint: Live) -> None:
    """Large requests find none over either protocol, and are told when to come back; small ones do."""
    status, answer, headers = post(endpoint, LARGE)
    assert status == 503 and "in hand" in answer["error"] and headers["retry-after"] == "1"
    status, _, headers = post(endpoint, iter([LARGE]), {"transfer-encoding": "chunked"})
    assert status == 503 and headers["retry-after"] == "1"
    large = Input(name="input", datatype="FP32", shape=[4, *SHAPE])
    sent = Request(model_name="base", inputs=[large], raw_input_contents=[bytes(15_000)]).SerializeToString()
    with grpc.insecure_channel(endpoint.grpc) as channel:
        assert call(channel, "ModelInfer", sent)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert post(endpoint, json.dumps(ONE).encode())[0] == 200
    assert ask_grpc(endpoint).as_numpy("output").shape == (1, 3)


def test_bodies_that_are_being_read_count_as_far_as_they_are_there() -> None:
    with live(settings=TIGHT) as made:
        with sent_to(made, http_call(BODY, b" " * 18_000)):
            until(lambda: used(made) == 18_000)
            assert metric(made, "parity_inference_request_bytes") == 18_000
            check_no_room(made)
        until(lambda: used(made) == 0)
        assert post(made, LARGE)[0] == 200


@pytest.mark.parametrize("length", [1, 15_000])
@pytest.mark.one_of_many
def test_a_message_of_grpc_that_is_not_whole_in_a_moment_counts_as_the_longest(length: int) -> None:
    with live(settings=TIGHT) as made:
        with sent_to(made, grpc_call(18_000, b" " * length)):
            until(lambda: used(made) == BODY)
            check_no_room(made)
        until(lambda: used(made) == 0)
        assert post(made, LARGE)[0] == 200


def test_a_stream_counts_as_long_as_it_is_open() -> None:
    with live(settings=TIGHT) as made:
        found: list[Any] = []
        asks = tritonclient.grpc.InferenceServerClient(made.grpc)
        asks.start_stream(lambda result, error: found.append((result, error)))
        until(lambda: used(made) == BODY)
        check_no_room(made)
        other = tritonclient.grpc.InferenceServerClient(made.grpc)
        other.start_stream(lambda result, error: found.append((result, error)))
        until(lambda: bool(found))
        assert isinstance(found[0][1], InferenceServerException) and "in hand" in str(found[0][1])
        other.stop_stream()
        asks.stop_stream()
        until(lambda: used(made) == 0)


def test_requests_count_until_they_are_answered() -> None:
    pool = SleepyPool()
    with live(pool, settings=TIGHT) as made:
        statuses: list[int] = []
        thread = threading.Thread(target=lambda: statuses.append(post(made, LARGE)[0]))
        thread.start()
        until(lambda: made.server.hub.waiting == 1)
        assert used(made) == len(LARGE)
        assert post(made, b" " * 18_000)[0] == 503
        pool.asleep = False
        thread.join()
        assert statuses == [200]
        until(lambda: used(made) == 0)


def test_what_is_decompressed_counts_as_well() -> None:
    with live(settings=TIGHT) as made, sent_to(made, http_call(BODY, b" " * 18_000)):
        until(lambda: used(made) == 18_000)
        assert post(made, gzip.compress(LARGE), {"content-encoding": "gzip"})[0] == 503
        assert post(made, gzip.compress(json.dumps(ONE).encode()), {"content-encoding": "gzip"})[0] == 200


def test_one_request_of_the_longest_has_room_in_any_case() -> None:
    assert Settings(body_mb=16, in_flight_mb=1).in_flight_bytes == 16 * MIB
    with live(settings={"body_mb": 1.0, "in_flight_mb": 0.001}) as made:
        values = np.zeros((64, *SHAPE), np.float32)
        body = json.dumps(
            ONE | {"inputs": [ONE["inputs"][0] | {"shape": [64, *SHAPE], "data": values.ravel().tolist()}]}
        )
        assert post(made, body.encode())[0] == 200
