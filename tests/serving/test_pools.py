"""What every pool keeps to, whatever its instances are: processes of this machine, or actors on a Ray cluster."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.serving.pool import Down, Event, Finished, Raised, ServedModel, Up
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.pools.supervised import SupervisedPool
from tests.serving.pool_driver import answer, gather, gone, has, send_soon, wait_until
from tests.serving.small_models import (
    CORNER,
    DIES,
    LARGE,
    LOSES_ITS_DEVICE,
    OBEDIENT,
    SHAPE,
    SUMS,
    out_of_memory,
    scale,
)

AnyPool = SupervisedPool[Any]
Start = Callable[..., AnyPool]

MODELS = {
    "sums": SUMS,
    "double": ServedModel(partial(scale, 2.0), SHAPE, SHAPE),
    "large": ServedModel(partial(scale, 2.0), LARGE, LARGE),
    "corner": CORNER,
    "obedient": OBEDIENT,
}


def local_pool(_: pytest.FixtureRequest, **options: Any) -> AnyPool:
    return LocalPool(devices="cpu", **options)


def ray_pool(request: pytest.FixtureRequest, **options: Any) -> AnyPool:
    request.getfixturevalue("ray_cluster")
    from parity_exp.serving.pools.ray import RayPool

    return RayPool(num_cpus=0.1, **options)


RAY = pytest.param(ray_pool, marks=[pytest.mark.slow, pytest.mark.xdist_group("ray")])


@pytest.fixture(scope="module", params=[local_pool, RAY])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a pool of one model, or of several; closes it after all tests of its kind."""
    pools: list[AnyPool] = []

    def start(
        model: ServedModel | dict[str, ServedModel],
        instances: int = 1,
        batch_size: int = 1,
        timelines: list[Timeline] | None = None,
        **options: Any,
    ) -> AnyPool:
        models = model if isinstance(model, dict) else {"model": model}
        pools.append(pool := request.param(request, **options))
        pool.start(models, [list(models)] * instances, batch_size, timelines or [Timeline()] * instances)
        return pool

    yield start
    for pool in pools:
        pool.close()


@pytest.fixture(scope="module")
def steady(start: Start) -> AnyPool:
    """Two instances that hold every model; tests leave them as they found them."""
    return start(MODELS, instances=2, batch_size=3, prefetch=3)


# -- answers ----------------------------------------------------------------------------------------------------------


def test_every_model_of_every_instance_gives_its_own_answers(steady: AnyPool) -> None:
    queries = torch.rand(3, *SHAPE)
    for instance in (0, 1):
        assert torch.equal(answer(steady, instance, "double", queries), queries * 2)
        assert torch.equal(answer(steady, instance, "corner", queries[:1]), queries[:1, 0, 0, :10])
        sums = answer(steady, instance, "sums", queries)
        assert torch.allclose(sums[:, 0], queries.sum((1, 2, 3)), rtol=1e-4)
        assert sums[:, 1].tolist() == [3, 3, 3]


@pytest.mark.parametrize("change", [torch.Tensor.double, lambda queries: queries.mT, torch.Tensor.requires_grad_])
def test_queries_need_not_be_plain(steady: AnyPool, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    queries = change(torch.rand(1, *SHAPE))
    assert torch.equal(answer(steady, 0, "double", queries), (queries.detach() * 2).float())


def test_answers_of_one_instance_come_in_the_order_of_its_tasks_and_are_the_receivers_to_keep(steady: AnyPool) -> None:
    queries = torch.rand(100, 1, *SHAPE)
    events: list[Event] = []
    sent = 0
    while len(events) < len(queries):
        while sent < len(queries) and steady.send(1, sent, "corner", queries[sent]):
            sent += 1
        events += steady.poll(1)
    assert [event.task for event in events if isinstance(event, Finished)] == list(range(100))
    outputs = torch.stack([event.outputs for event in events if isinstance(event, Finished)])
    assert torch.equal(outputs, queries[:, :, 0, 0, :10])
    outputs += 1


def test_large_tensors_and_no_more_tasks_than_an_instance_may_hold(steady: AnyPool) -> None:
    kept = []
    for round_ in range(3):
        queries = [torch.rand(2, *LARGE) for _ in range(3)]
        for task, query in enumerate(queries):
            assert steady.send(0, 10 * round_ + task, "large", query)
        assert not steady.send(0, 999, "large", queries[0])
        events = gather(steady, has(Finished, 3))
        kept += [(query, event.outputs) for query, event in zip(queries, events, strict=True)]  # type: ignore[union-attr]
    assert all(torch.equal(query * 2, outputs) for query, outputs in kept)


def test_queries_that_do_not_fit_the_model_are_refused_at_once(steady: AnyPool) -> None:
    for wrong in (torch.zeros(1, 28, 28), torch.zeros(4, *SHAPE), torch.zeros(0, *SHAPE)):
        with pytest.raises(ValueError, match="1 to 3 of"):
            steady.send(0, 1, "corner", wrong)


def test_times_are_of_the_clock_of_the_frontend(steady: AnyPool) -> None:
    before_s = time.monotonic()
    assert steady.send(0, 0, "corner", torch.rand(1, *SHAPE))
    (event,) = gather(steady, bool)
    assert isinstance(event, Finished)
    assert before_s <= event.started_s <= event.finished_s <= time.monotonic()


def test_poll_waits_as_long_as_it_is_told_and_no_shorter(steady: AnyPool) -> None:
    for timeout_s in (0.0, 0.0003, 0.01):
        before_s = time.monotonic()
        assert steady.poll(timeout_s) == []
        assert time.monotonic() - before_s >= timeout_s


def test_a_pool_that_is_started_again_does_what_it_is_told_to_then(start: Start) -> None:
    pool = start({"sums": SUMS, "corner": CORNER}, instances=2)
    pool.start({"corner": CORNER}, [["corner"]] * 3, 2, [Timeline()] * 3)
    queries = torch.rand(2, *SHAPE)
    for instance in range(3):
        assert torch.equal(answer(pool, instance, "corner", queries), queries[:, 0, 0, :10])
    assert [device for device, _ in pool.places()] == ["cpu"] * 3


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_model_that_raises_costs_one_task(steady: AnyPool) -> None:
    assert steady.send(0, 1, "obedient", torch.tensor([[1.0, 0.0]]))
    assert steady.send(0, 2, "obedient", torch.tensor([[0.5, 0.0]]))
    raised, finished = gather(steady, has(Finished))
    assert raised == Raised(0, 1, "ValueError: this query is not to be answered")
    assert isinstance(finished, Finished) and finished.outputs.item() == 0.5
    assert steady.send(0, 3, "obedient", torch.tensor([[5.0, 0.0], [0.0, 0.0]]))
    (raised,) = gather(steady, has(Raised))
    assert isinstance(raised, Raised) and "the shape (4,), expected (2, 1)" in raised.error
    answer(steady, 0, "obedient", torch.zeros(1, 2))


def test_a_down_instance_takes_nothing_and_the_others_go_on(steady: AnyPool) -> None:
    steady.kill(0)
    assert not steady.send(0, 1, "corner", torch.rand(1, *SHAPE))
    assert steady.send(1, 2, "corner", torch.rand(1, *SHAPE))
    events = gather(steady, lambda events: has(Up)(events) and has(Finished)(events))
    assert [event for event in events if isinstance(event, Down)] == [Down(0, "killed on demand")]
    answer(steady, 0, "corner", torch.rand(1, *SHAPE))


def test_instances_that_hang_or_never_finish_are_killed_and_replaced(start: Start) -> None:
    pool = start(OBEDIENT, instances=2, hang_timeout_s=1.5, task_timeout_s=1)
    pids = list(pool.pids)  # type: ignore[attr-defined]
    os.kill(pids[0], signal.SIGSTOP)
    assert pool.send(1, 7, "model", torch.tensor([[2.0, 0.0]]))
    events = gather(pool, has(Up, 2))
    downs = {event.instance: event for event in events if isinstance(event, Down)}
    assert downs == {
        0: Down(0, "no sign of life for pool.hang_timeout_s=1.5"),
        1: Down(1, "one task took longer than pool.task_timeout_s=1"),
    }
    assert len(events) == 4
    wait_until(lambda: all(gone(pid) for pid in pids))
    for instance in (0, 1):
        answer(pool, instance, "model", torch.zeros(1, 2))


def test_an_instance_that_dies_at_every_task_is_left_out_loudly(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    pool = start(DIES, max_failures=2)
    events: list[Event] = []
    for failure in (1, 2):
        send_soon(pool, 0, failure, torch.ones(1, 2))
        events += gather(pool, has(Down))
    downs = [event for event in events if isinstance(event, Down)]
    assert [down.final for down in downs] == [False, True]
    assert "2 failures in a row" in downs[-1].reason
    assert any("left out" in record.message and record.levelname == "WARNING" for record in caplog.records)
    assert not pool.send(0, 9, "model", torch.ones(1, 2))
    assert pool.poll(0.7) == []


def test_a_lost_gpu_is_the_end_of_its_instance_with_the_reason_in_one_line(start: Start) -> None:
    pool = start(LOSES_ITS_DEVICE)
    for order, words in ((1.0, "is lost: CUDA error: unspecified launch failure"), (2.0, "is out of memory: CUDA out")):
        send_soon(pool, 0, 1, torch.tensor([[order, 0.0]]))
        down, up = gather(pool, has(Up))
        assert isinstance(down, Down) and words in down.reason and "\n" not in down.reason and not down.final
        assert up == Up(0)
        answer(pool, 0, "model", torch.full((1, 2), 0.5))


def test_an_instance_that_cannot_start_fails_the_start_with_its_own_words(start: Start) -> None:
    with pytest.raises(UserError) as refusal:
        start(ServedModel(out_of_memory, (5,), (7,)))
    assert "instance 0 (model on cpu) cannot start" in str(refusal.value)
    assert "RuntimeError: out of memory. Tried to allocate 20.00 GiB" in str(refusal.value)
    assert "\n" not in str(refusal.value)


# -- time -------------------------------------------------------------------------------------------------------------


def test_timelines_delay_tasks_of_their_instance_while_they_say_so(start: Start) -> None:
    slow = Timeline([(0, 1e6, 3.0, 0.0), (1e6, 2e6, 1.0, 0.1)])
    pool = start(CORNER, instances=2, timelines=[slow, Timeline([(0, 1e6, 1.0, 0.5)])], service_time_ms=20)

    def times_s(*instances: int) -> list[float]:
        for instance in instances:
            assert pool.send(instance, instance, "model", torch.rand(1, *SHAPE))
        events = gather(pool, has(Finished, len(instances)))
        return [event.finished_s - event.started_s for event in events if isinstance(event, Finished)]

    assert times_s(0)[0] >= 0.02
    now_s = time.monotonic()
    pool.begin(now_s + 1000)  # not yet
    assert times_s(0)[0] >= 0.02
    pool.begin(now_s)
    first, last = times_s(1, 0)  # in the order in which they come back
    assert 0.06 <= first < last and last >= 0.52
    pool.begin(now_s - 1.5e6)
    assert times_s(0)[0] >= 0.12
    pool.begin(now_s - 3e6)  # over
    assert times_s(1)[0] < 0.5


# -- end --------------------------------------------------------------------------------------------------------------


def test_a_pool_with_stopped_and_busy_instances_closes(start: Start) -> None:
    pool = start(OBEDIENT, instances=2)
    pids = list(pool.pids)  # type: ignore[attr-defined]
    assert pool.send(0, 1, "model", torch.tensor([[2.0, 0.0]]))
    os.kill(pids[1], signal.SIGSTOP)
    pool.close()
    pool.close()
    assert all(gone(pid) for pid in pids)
    assert pool.poll(0) == []
    assert not pool.send(0, 2, "model", torch.zeros(1, 2))
