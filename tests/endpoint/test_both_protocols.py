"""What is special, and what a server does that is to end, through tritonclient over HTTP and over gRPC."""

import json
import threading
from typing import Any

import grpc
import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from torch import Tensor
from tritonclient.utils import InferenceServerException

from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.endpoint.transports.messages import SERVICE
from parity_exp.policies import Parity
from parity_exp.serving.pool import Event
from tests.endpoint.live import SHAPE, Live, Summed, live, metric, summed, until
from tests.endpoint.sleepy_pool import SleepyPool
from tests.endpoint.test_clients import PROTOCOLS, client, expected, parameters, queries, tensor
from tests.endpoint.test_hostile_grpc import Request, good
from tests.endpoint.test_limits import ONE, post
from tests.serving.direct_pool import DirectPool


class Asking(threading.Thread):
    """A client that waits for its answer beside the test."""

    answer: Any = None
    error: InferenceServerException | None = None

    def __init__(self, endpoint: Live, protocol: Any, values: np.ndarray, **more: Any) -> None:
        super().__init__(daemon=True)
        self.given = endpoint, protocol, values, more
        self.start()

    def run(self) -> None:
        endpoint, protocol, values, more = self.given
        try:
            self.answer = client(endpoint, protocol).infer("base", [tensor(protocol, values)], **more)
        except InferenceServerException as error:
            self.error = error

    def source(self) -> str:
        self.join(60)
        assert self.error is None, self.error
        return str(parameters(self.given[1], self.answer)["source"])


def status_of_grpc(endpoint: Live) -> tuple[grpc.StatusCode, dict[str, str]]:
    """How a call ends, and what comes behind its status."""
    with grpc.insecure_channel(endpoint.grpc) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer", Request.SerializeToString, lambda got: got)
        with pytest.raises(grpc.RpcError) as refused:
            infer(good(), timeout=60)
    return refused.value.code(), {name: str(value) for name, value in refused.value.trailing_metadata() or ()}


def check_retry(endpoint: Live, code: grpc.StatusCode) -> None:
    """Both protocols refuse for now, and say when to come back."""
    status, _, headers = post(endpoint, json.dumps(ONE).encode())
    assert status == 503 and int(headers["retry-after"]) >= 1
    found, trailing = status_of_grpc(endpoint)
    assert found is code and float(trailing["retry-after"]) >= 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_full_queue_refuses_both_and_is_emptied_by_both(protocol: Any) -> None:
    pool = SleepyPool()
    with live(pool, settings={"queue": 2}) as made:
        asking = [Asking(made, protocol, queries()) for _ in range(2)]
        until(lambda: made.server.hub.waiting == 2)
        check_retry(made, grpc.StatusCode.RESOURCE_EXHAUSTED)
        pool.asleep = False
        assert [one.source() for one in asking] == ["own", "own"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ending_server_answers_what_it_has_taken_and_refuses_what_comes(protocol: Any) -> None:
    pool = SleepyPool()
    with live(pool) as made:
        asking = [Asking(made, protocol, queries(count)) for count in (1, 3)]
        until(lambda: made.server.hub.waiting == 4)
        made.end()
        until(lambda: made.server.hub.ending)
        check_retry(made, grpc.StatusCode.UNAVAILABLE)
        assert (
            not client(made, tritonclient.grpc).is_server_ready() and client(made, tritonclient.grpc).is_server_live()
        )
        pool.asleep = False
        assert [one.source() for one in asking] == ["own", "own"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.one_of_many
def test_what_is_not_answered_when_the_time_to_drain_is_over_is_told_so(protocol: Any) -> None:
    with live(SleepyPool(), settings={"drain_s": 0.2}) as made:
        asking = Asking(made, protocol, queries())
        until(lambda: made.server.hub.waiting == 1)
        made.end()
        asking.join(60)
        assert asking.error is not None and "no instance could answer" in str(asking.error)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("asked_ms", [None, 30])
@pytest.mark.one_of_many
def test_deadlines_are_the_requests_or_the_servers(protocol: Any, asked_ms: float | None) -> None:
    default = torch.tensor([0.0, 0.0, 7.0])
    with live(SleepyPool(), default=default, settings={"deadline_ms": 40.0 if asked_ms is None else 1e6}) as made:
        more = {} if asked_ms is None else {"parameters": {"deadline_ms": asked_ms}}
        asking = Asking(made, protocol, queries(2), **more)
        assert asking.source() == "default"
        np.testing.assert_array_equal(asking.answer.as_numpy("output"), [[0, 0, 7]] * 2)


class FirstSleeps(DirectPool):
    """The first instance keeps its tasks until it wakes; others answer at once."""

    def __init__(self) -> None:
        super().__init__(summed)
        self.asleep = True
        self.kept: list[tuple[int, int, str, Tensor]] = []

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        if instance or not self.asleep:
            return super().send(instance, task, model, queries)
        self.kept.append((instance, task, model, queries.clone()))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        while self.kept and not self.asleep:
            super().send(*self.kept.pop(0))
        return super().poll(timeout_s)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.one_of_many
def test_an_exact_answer_is_the_base_models_own_however_long_it_takes(protocol: Any, exact: bool) -> None:
    pool = FirstSleeps()
    code = Code(AdditionEncoder(2, 1, SHAPE), SubtractionDecoder(2, 1, (3,)))
    with live(pool, policy=Parity, code=code, parity_models=[Summed()], k=2) as made:
        first = Asking(made, protocol, queries(), parameters={"exact": exact})
        until(lambda: len(pool.kept) == 1)
        assert Asking(made, protocol, 2 * queries()).source() == "own"
        if exact:
            until(lambda: metric(made, 'parity_parity_queries_total{model="base",version="1"}') == 1)
            first.join(0.3)
            assert first.is_alive(), "a reconstruction could have answered it by now"
            pool.asleep = False
        assert first.source() == ("own" if exact else "reconstructed")
        np.testing.assert_allclose(first.answer.as_numpy("output"), expected(queries()), rtol=1e-4)
        pool.asleep = False
