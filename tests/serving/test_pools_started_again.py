"""A pool that goes from one policy to the next: who stays, who goes, and that nothing of before plays a part."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from parity_exp.disturbances.timeline import Fault, Timeline
from parity_exp.errors import UserError
from parity_exp.serving.pool import Down, Finished, ServedModel, Up
from parity_exp.serving.pools import LocalPool, supervised
from parity_exp.serving.pools.supervised import identity
from tests.serving.looks_for_gpus import Looked
from tests.serving.pool_driver import answer, gather, gone, has, wait_until
from tests.serving.small_models import CORNER, LARGE, OBEDIENT, PID, SHAPE, missing_checkpoint, scale
from tests.serving.test_local_pool import descendants, open_descriptors

QUERY = torch.rand(1, *SHAPE)
LARGE_MODEL = ServedModel(partial(scale, 2.0), LARGE, LARGE)


class Again:
    """A pool on the CPU, and how to start it over and over."""

    def __init__(self, **options: Any) -> None:
        self.pool = LocalPool(devices="cpu", **options)

    def __call__(
        self,
        held: list[list[str]],
        models: dict[str, ServedModel] | None = None,
        timelines: list[Timeline] | None = None,
        batch_size: int = 1,
    ) -> LocalPool:
        known = models or {"pid": PID, "corner": CORNER, "large": LARGE_MODEL, "obedient": OBEDIENT}
        wanted = {name: known[name] for names in held for name in names}
        self.pool.start(wanted, held, batch_size, timelines or [Timeline()] * len(held))
        return self.pool


@pytest.fixture
def again() -> Iterator[Callable[..., Again]]:
    made: list[Again] = []

    def make(**options: Any) -> Again:
        made.append(Again(**options))
        return made[-1]

    yield make
    for one in made:
        one.pool.close()


def test_processes_stay_and_models_that_they_have_are_not_loaded_again(again: Callable[..., Again]) -> None:
    start = again()
    pool = start([["pid"], ["pid"]])
    first = [answer(pool, instance, "pid", QUERY)[0].tolist() for instance in (0, 1)]
    start([["pid", "corner"], ["pid"], ["pid"]])
    assert [answer(pool, instance, "pid", QUERY)[0].tolist() for instance in (0, 1)] == first
    assert torch.equal(answer(pool, 0, "corner", QUERY), QUERY[:, 0, 0, :10])
    third = pool.pids[2]
    assert [pid for pid, _ in first] == pool.pids[:2]
    start([["corner"], ["pid"]])
    wait_until(lambda: third is not None and gone(third))
    start([["pid"], ["pid"]])
    pid, number = answer(pool, 0, "pid", QUERY)[0].tolist()
    assert (pid, number) == (first[0][0], first[0][1] + 1)  # it had let go of it in the meantime
    assert answer(pool, 1, "pid", QUERY)[0].tolist() == first[1]


def test_modules_of_models_may_look_for_gpus_when_they_are_imported(
    again: Callable[..., Again], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    looked = ServedModel(Looked, SHAPE, (1,))
    pool = again()([["looked"]], {"looked": looked})
    assert answer(pool, 0, "looked", QUERY).tolist() == [[1.0]]


def test_another_size_of_batches_and_larger_tensors_reach_the_same_processes(again: Callable[..., Again]) -> None:
    start = again(prefetch=2)
    pool = start([["corner"]])
    pids = pool.pids
    for batch_size, model in ((2, "large"), (5, "large"), (1, "corner"), (3, "large")):
        start([[model]], batch_size=batch_size)
        shape = LARGE if model == "large" else SHAPE
        queries = torch.rand(batch_size, *shape)
        expected = queries * 2 if model == "large" else queries[:, 0, 0, :10]
        for _ in range(3):
            assert torch.equal(answer(pool, 0, model, queries), expected)
        with pytest.raises(ValueError, match=f"1 to {batch_size} of"):
            pool.send(0, 0, model, torch.zeros(batch_size + 1, *shape))
    assert pool.pids == pids


def test_delays_and_faults_of_one_policy_do_not_reach_the_next(again: Callable[..., Again]) -> None:
    start = again()
    stuck = Timeline([(0, 1e6, 1.0, 0.2)], [(0, 1e6, Fault("stuck"))])
    pool = start([["corner"]], timelines=[stuck])
    pool.begin(time.monotonic())
    assert not answer(pool, 0, "corner", QUERY).any()
    start([["corner"]])
    for begun in (False, True):
        if begun:
            pool.begin(time.monotonic())
        assert pool.send(0, 1, "corner", QUERY)
        (event,) = gather(pool, bool)
        assert isinstance(event, Finished) and not event.corrupted
        assert event.finished_s - event.started_s < 0.2 and torch.equal(event.outputs, QUERY[:, 0, 0, :10])
    start([["corner"]], timelines=[stuck])
    pool.begin(time.monotonic())
    assert not answer(pool, 0, "corner", QUERY).any()  # nothing that was given out before is remembered


def test_answers_of_before_are_nobodys(again: Callable[..., Again]) -> None:
    start = again(prefetch=4)
    pool = start([["obedient"]])
    pids = pool.pids
    for task in range(3):
        assert pool.send(0, task, "obedient", torch.tensor([[4.0, 0.0]]))
    start([["corner"]])
    assert pool.pids == pids
    assert pool.poll(0.3) == []
    assert torch.equal(answer(pool, 0, "corner", QUERY), QUERY[:, 0, 0, :10])


def test_an_instance_that_does_not_come_to_its_end_is_replaced(
    again: Callable[..., Again], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "DRAIN_S", 0.3)
    start = again()
    pool = start([["obedient"], ["corner"]])
    pids = list(pool.pids)
    assert pool.send(0, 1, "obedient", torch.tensor([[2.0, 0.0]]))
    start([["corner"], ["corner"]])
    assert pool.pids[0] != pids[0] and pool.pids[1] == pids[1]
    assert pids[0] is not None and gone(pids[0])
    assert pool.poll(0.3) == []
    for instance in (0, 1):
        answer(pool, instance, "corner", QUERY)


def test_instances_that_died_or_were_starting_are_there_again(again: Callable[..., Again]) -> None:
    start = again()
    pool = start([["corner"]] * 3)
    pool.kill(0)  # on its way back when the next policy begins
    pid = pool.pids[1]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # nobody has noticed yet
    start([["corner", "pid"]] * 3)
    for instance in range(3):
        answer(pool, instance, "pid", QUERY)
    pool.kill(1)
    gather(pool, has(Down))
    pool.kill(1)  # the new one as well, before it is ready
    start([["corner", "pid"]] * 3)
    for instance in range(3):
        answer(pool, instance, "pid", QUERY)
    pool.kill(2)
    assert gather(pool, has(Up)) == [Down(2, "killed on demand", on_demand=True), Up(2)]
    answer(pool, 2, "pid", QUERY)


def test_an_instance_that_was_given_up_gets_another_chance(again: Callable[..., Again]) -> None:
    start = again(max_failures=1)
    pool = start([["obedient"]])
    assert pool.send(0, 1, "obedient", torch.tensor([[3.0, 0.0]]))
    (down,) = gather(pool, has(Down))
    assert isinstance(down, Down) and down.final
    start([["obedient"]])
    answer(pool, 0, "obedient", torch.zeros(1, 2))


def test_a_model_that_cannot_be_loaded_fails_the_next_start_in_its_own_words(again: Callable[..., Again]) -> None:
    start = again()
    children = set(descendants(os.getpid()))
    pool = start([["corner"]])
    with pytest.raises(UserError, match=r"instance 0 \(bad on cpu\) cannot start: base\.checkpoint=nowhere\.ckpt"):
        start([["bad"]], {"bad": ServedModel(missing_checkpoint, SHAPE, (10,))})
    assert all(pid is None or gone(pid) for pid in pool.pids)
    assert not [pid for pid in set(descendants(os.getpid())) - children if "instance" in comm(pid)]
    with pytest.raises(RuntimeError, match="closed"):
        start([["corner"]])


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def test_many_starts_leave_nothing_behind(again: Callable[..., Again]) -> None:
    again()([["corner"]]).close()  # starts the fork server, which stays
    descriptors, children = open_descriptors(), descendants(os.getpid())
    start = again()
    for _ in range(3):
        pool = start([["corner"], ["large"], ["corner", "large"]])
        pool.kill(1)
        start([["large"], ["corner"]], batch_size=2)
        answer(pool, 0, "large", torch.rand(2, *LARGE))
    pool.close()
    assert descendants(os.getpid()) == children
    assert open_descriptors() == descriptors


def test_a_checkpoint_that_was_written_since_is_another_model(tmp_path: Path) -> None:
    path = tmp_path / "base.ckpt"
    path.write_bytes(b"1")
    served = ServedModel(partial(scale, 2.0), SHAPE, SHAPE, str(path))
    before = identity(served)
    assert identity(ServedModel(partial(scale, 2.0), SHAPE, SHAPE, str(path))) == before
    assert identity(ServedModel(partial(scale, 3.0), SHAPE, SHAPE, str(path))) != before
    path.write_bytes(b"22")
    assert identity(served) != before


def test_a_pause_between_policies_is_not_taken_for_a_hang(again: Callable[..., Again]) -> None:
    start = again(hang_timeout_s=0.5)
    pool = start([["corner"]])
    pids = pool.pids
    os.kill(pids[0] or 0, signal.SIGSTOP)
    time.sleep(0.8)  # results are written meanwhile, and everybody stands still
    os.kill(pids[0] or 0, signal.SIGCONT)
    start([["corner"]])
    assert pool.pids == pids and pool.poll(0.3) == []
