"""Clients that hang or go away cost nothing, over either protocol."""

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack

import grpc
import numpy as np
import pytest

from parity_exp.endpoint.asked import Asked
from parity_exp.endpoint.protocol.requests import InferRequest, InputTensor
from parity_exp.endpoint.transports.messages import SERVICE
from tests.endpoint.half_sent import grpc_call, http_call, sent_to
from tests.endpoint.live import SHAPE, Live, live, metric, status, until
from tests.endpoint.sleepy_pool import SleepyPool
from tests.endpoint.test_hostile_grpc import Request, good
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
@pytest.mark.one_of_many
def test_a_connection_to_grpc_that_says_nothing_is_closed(said: bytes) -> None:
    with live(settings={"client_timeout_s": 0.3}) as made:
        assert made.server.grpc_port is not None
        with socket.create_connection((made.server.hub.settings.host, made.server.grpc_port), timeout=60) as hanging:
            hanging.sendall(said)
            read_to_the_end(hanging)
        check_both(made)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.one_of_many
def test_many_clients_that_hang_keep_nobody_waiting(protocol: str) -> None:
    with live(settings={"connections": 200}) as made:
        with ExitStack() as hanging:
            for _ in range(100):
                hanging.enter_context(sent_to(made, CALLS[protocol](1000, b"x")))
            until(lambda: made.server.hub.room.used >= 100)
            check_both(made)
        until(lambda: made.server.hub.room.used == 0)
        check_both(made)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.one_of_many
def test_queries_of_a_client_that_goes_away_wait_for_nothing_any_more(protocol: str) -> None:
    pool = SleepyPool()
    with live(pool, settings={"queue": 3}) as made:
        hub = made.server.hub
        leave = leave_http if protocol == "http" else leave_grpc
        for _ in range(4):  # more than there is room for, if those before took any
            leave(made, lambda: hub.waiting == 1)
            until(lambda: hub.waiting == hub.room.used == 0)
        assert metric(made, 'parity_inference_request_failure_total{reason="gone"}') == 4
        assert status(made)["answers"] == 0
        pool.asleep = False
        check_both(made)


def leave_http(endpoint: Live, asked: Callable[[], bool]) -> None:
    body = json.dumps(ONE).encode()
    with sent_to(endpoint, http_call(len(body), body)):
        until(asked)


def leave_grpc(endpoint: Live, asked: Callable[[], bool]) -> None:
    with grpc.insecure_channel(endpoint.grpc) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer", Request.SerializeToString, lambda got: got)
        calling = infer.future(good(), timeout=60)
        until(asked)
        calling.cancel()


def test_who_goes_away_before_the_frontend_has_heard_of_it_does_not_wait_for_ever() -> None:
    pool = SleepyPool()
    with live(pool) as made:
        hub = made.server.hub
        (served,) = hub.served()
        told: list[Asked] = []
        tensor = InputTensor("input", "FP32", (1, *SHAPE), np.ones(SHAPE, np.float32).tobytes())

        def ask_and_leave() -> None:
            asked = hub.take(served, InferRequest(inputs=(tensor,), binary=True), told.append)
            served.frontend.leave(asked)

        hub.loop.call_soon_threadsafe(ask_and_leave)
        until(lambda: len(told) == 1)
        assert told[0].failed and hub.waiting == 0
        assert not pool.kept, "no instance has been asked"
        pool.asleep = False
        check_both(made)


def check_both(endpoint: Live) -> None:
    assert post(endpoint, json.dumps(ONE).encode())[0] == 200
    assert ask_grpc(endpoint).as_numpy("output").tolist() == [[16, 32, 0]]
