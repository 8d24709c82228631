"""Clients that hang or go away cost nothing, over either protocol."""

import json
import socket
from contextlib import ExitStack

import pytest

from tests.endpoint.half_sent import grpc_call, http_call, sent_to
from tests.endpoint.live import Live, live, metric, until
from tests.endpoint.test_limits import ONE, ask_grpc, post

CALLS = {"http": http_call, "grpc": grpc_call}


def read_to_the_end(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while more := connection.recv(4096):
            answer += more
    except ConnectionResetError:
        pass
    return answer


def test_a_message_of_grpc_that_does_not_come_to_an_end_is_let_go() -> None:
    with live(settings={"client_timeout_s": 0.3}) as made:
        with sent_to(made, grpc_call(90, b"{")):
            until(lambda: metric(made, 'parity_inference_request_failure_total{reason="slow_client"}') == 1)
        assert made.server.hub.room.used == 0
        check_both(made)


@pytest.mark.parametrize("said", [b"", b"PRI * HT"])
def test_a_connection_to_grpc_that_says_nothing_is_closed(said: bytes) -> None:
    with live(settings={"client_timeout_s": 0.3}) as made:
        assert made.server.grpc_port is not None
        with socket.create_connection((made.server.hub.settings.host, made.server.grpc_port), timeout=60) as hanging:
            hanging.sendall(said)
            read_to_the_end(hanging)
        check_both(made)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_many_clients_that_hang_keep_nobody_waiting(protocol: str) -> None:
    with live(settings={"connections": 200}) as made:
        with ExitStack() as hanging:
            for _ in range(100):
                hanging.enter_context(sent_to(made, CALLS[protocol](1000, b"x")))
            until(lambda: made.server.hub.room.used >= 100)
            check_both(made)
        until(lambda: made.server.hub.room.used == 0)
        check_both(made)


def check_both(endpoint: Live) -> None:
    assert post(endpoint, json.dumps(ONE).encode())[0] == 200
    assert ask_grpc(endpoint).as_numpy("output").tolist() == [[16, 32, 0]]
