"""A server that one can leave alone: it takes what it can, refuses the rest in words, and ends when it is told to."""

import gzip
import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from parity_exp.checks import SettingError
from tests.endpoint.live import SHAPE, Live, live, until
from tests.endpoint.sleepy_pool import SleepyPool

PATH = "/v2/models/base/infer"
ONE = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, *SHAPE], "data": [1.0] * 16}]}


def post(endpoint: Live, body: Any, headers: dict[str, str] | None = None, path: str = PATH) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection(endpoint.http, timeout=30)
    connection.request("POST", path, body, headers or {}, encode_chunked=not isinstance(body, bytes))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None, answer.headers


def ask_grpc(endpoint: Live, **more: Any) -> Any:
    given = tritonclient.grpc.InferInput("input", [1, *SHAPE], "FP32")
    given.set_data_from_numpy(np.ones((1, *SHAPE), np.float32))
    return tritonclient.grpc.InferenceServerClient(endpoint.grpc).infer("base", [given], **more)


def waiting_clients(endpoint: Live, count: int) -> tuple[list[threading.Thread], list[int]]:
    """Clients that wait for their answers, and the statuses that they will have got."""
    found: list[int] = []
    body = json.dumps(ONE).encode()
    threads = [threading.Thread(target=lambda: found.append(post(endpoint, body)[0])) for _ in range(count)]
    for thread in threads:
        thread.start()
    until(lambda: endpoint.server.hub.waiting == count)
    return threads, found


def test_a_full_queue_sends_clients_away_and_says_when_to_come_back() -> None:
    pool = SleepyPool()
    with live(pool, settings={"queue": 3}) as made:
        threads, found = waiting_clients(made, 3)
        status, answer, headers = post(made, json.dumps(ONE).encode())
        assert status == 503 and "wait" in answer["error"] and headers["retry-after"] == "1"
        with pytest.raises(InferenceServerException) as refused:
            ask_grpc(made)
        assert "RESOURCE_EXHAUSTED" in str(refused.value.status())
        pool.asleep = False
        for thread in threads:
            thread.join()
        assert found == [200] * 3
        assert post(made, json.dumps(ONE).encode())[0] == 200


def test_an_ending_server_answers_what_it_has_taken_and_takes_no_more() -> None:
    pool = SleepyPool()
    with live(pool) as made:
        threads, found = waiting_clients(made, 3)
        made.end()
        until(lambda: made.server.hub.ending)
        assert post(made, json.dumps(ONE).encode())[0] == 503
        assert urlopen_status(made, "/v2/health/ready") == 503
        assert urlopen_status(made, "/v2/health/live") == 200
        pool.asleep = False
        for thread in threads:
            thread.join()
        assert found == [200] * 3


def test_draining_has_an_end() -> None:
    with live(SleepyPool(), settings={"drain_s": 0.2}) as made:
        threads, found = waiting_clients(made, 2)
        made.end()
        for thread in threads:
            thread.join()
        assert found == [500] * 2


def urlopen_status(endpoint: Live, path: str, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection(endpoint.http, timeout=30)
    connection.request("GET", path, headers=headers or {})
    status = connection.getresponse().status
    connection.close()
    return status


def test_bodies_and_batches_have_limits() -> None:
    with live(settings={"body_mb": 0.01, "batch": 2}) as made:
        assert post(made, b" " * 20_000)[0] == 413
        # The last chunk is the one too many: a client that goes on sending may find the connection closed.
        assert post(made, iter([b" " * 1_000] * 11), {"transfer-encoding": "chunked"})[0] == 413

        assert post(made, gzip.compress(b" " * 10**6), {"content-encoding": "gzip"})[0] == 413
        three = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [3, *SHAPE], "data": [1.0] * 48}]}
        assert post(made, json.dumps(three).encode())[0] == 413


def test_a_token_is_asked_of_everybody_but_health_checks(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with live(settings={"token_file": str(tmp_path / "token")}) as made:
        body = json.dumps(ONE).encode()
        assert post(made, body)[0] == 401
        assert post(made, body, {"authorization": "Bearer other"})[0] == 401
        assert post(made, body, {"authorization": "Bearer secret"})[0] == 200
        assert urlopen_status(made, "/v2/health/ready") == 200 and urlopen_status(made, "/metrics") == 401
        with pytest.raises(InferenceServerException, match="token"):
            ask_grpc(made)
        assert ask_grpc(made, headers={"authorization": "Bearer secret"}).as_numpy("output").shape == (1, 3)


def test_a_client_that_hangs_is_let_go() -> None:
    with live(settings={"client_timeout_s": 0.3}) as made:
        for sent in (b"", b"POST /v2", b"POST " + PATH.encode() + b" HTTP/1.1\r\ncontent-length: 90\r\n\r\n{"):
            with socket.create_connection((made.server.hub.settings.host, made.server.port), timeout=30) as hanging:
                hanging.sendall(sent)
                answer = b""
                while more := _received(hanging):
                    answer += more
                assert answer == b"" or b" 408 " in answer
        assert post(made, json.dumps(ONE).encode())[0] == 200


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


def test_a_head_without_an_end_is_cut_off() -> None:
    with live() as made, socket.create_connection((made.server.hub.settings.host, made.server.port)) as endless:
        answer = b""
        try:
            endless.sendall(b"GET / HTTP/1.1\r\n" + b"x-more: " + b"x" * 200_000)
            answer = endless.recv(4096)
        except OSError:
            pass  # it was cut off while we sent
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_a_port_that_is_taken_is_said_so() -> None:
    with live() as made:
        settings = {"port": made.server.port}
        with pytest.raises(SettingError, match="port"), live(settings=settings):
            pass


def test_older_versions_are_there_by_their_numbers() -> None:
    from parity_exp.policies import NoRedundancy
    from tests.endpoint.live import Summed
    from tests.serving.direct_pool import DirectPool

    older = {
        "models": Summed(), "queries": torch.zeros(4, *SHAPE), "policies": NoRedundancy,
        "pool": DirectPool(lambda queries: torch.zeros(len(queries), 3)),
    }  # fmt: skip
    with live(older=[older]) as made:
        body = json.dumps(ONE).encode()
        by_version = {
            version: post(made, body, path=f"/v2/models/base/versions/{version}/infer")[1]["outputs"][0]["data"]
            for version in ("1", "2")
        }
        assert by_version == {"1": [0, 0, 0], "2": [16, 32, 0]}
        assert post(made, body)[1]["model_version"] == "2"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMED = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["input", "image", ""]) | JSON,
                    "datatype": st.sampled_from(["FP32", "BYTES", "INT8"]) | JSON,
                    "shape": st.lists(st.integers(-2, 4), max_size=5) | JSON,
                    "data": JSON,
                    "parameters": st.dictionaries(st.sampled_from(["binary_data_size"]), JSON) | JSON,
                }
            ),
            max_size=3,
        )
        | JSON,
        "parameters": st.dictionaries(st.sampled_from(["deadline_ms", "exact"]), JSON) | JSON,
        "outputs": JSON,
    }
)
BODIES = st.binary(max_size=300) | (JSON | NAMED).map(lambda value: json.dumps(value).encode(errors="replace"))
LENGTHS = st.none() | st.sampled_from(["0", "1", "-1", "5", "1e9", "x", "9" * 30])


@pytest.mark.slow
def test_two_thousand_hostile_requests_are_refused_and_harm_nobody() -> None:
    with live() as made:

        @settings(max_examples=1600, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(BODIES, LENGTHS, st.sampled_from(["", "gzip", "deflate", "br"]))
        def hostile(body: bytes, length: str | None, encoding: str) -> None:
            headers = {} if length is None else {"Inference-Header-Content-Length": length}
            headers |= {"content-encoding": encoding} if encoding else {}
            status, _, _ = post(made, body, headers)
            assert 400 <= status < 500

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.binary(min_size=1, max_size=400))
        def raw(sent: bytes) -> None:
            with socket.create_connection((made.server.hub.settings.host, made.server.port), timeout=30) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = _received(connection)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")

        hostile()
        raw()
        assert post(made, json.dumps(ONE).encode())[0] == 200
        assert ask_grpc(made).as_numpy("output").tolist() == [[16, 32, 0]]
        assert made.server.hub.waiting == 0
