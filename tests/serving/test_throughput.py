"""What instances can serve, alone and together: measured on pools whose truth is known, and put into words."""

import heapq
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.serving import throughput
from parity_exp.serving.pool import Down, Event, Finished, Pool, Raised, ServedModel, Up
from parity_exp.serving.throughput import Throughput, measure_alone, measure_together

QUERIES = torch.zeros(50, 2)


class Shared(Pool):
    """Instances in a time of their own that share devices, each of which does one task after the other.

    Args:
        devices: for each instance the number of its device.
        task_s: how long a device takes for a task of one query; a batch takes half of that more for each other query.
        fails: number of the task with which each instance's failing begins, and what it then says.
    """

    def __init__(
        self, devices: Sequence[int], task_s: float, prefetch: int = 1, fails: tuple[int, Event] | None = None
    ) -> None:
        self.prefetch = prefetch
        self.devices = devices
        self.task_s = task_s
        self.fails = fails
        self.now_s = 100.0
        self.free_s = dict.fromkeys(devices, 100.0)
        self.in_hand = [0] * len(devices)
        self.ends: list[tuple[float, int, int, float]] = []

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None: ...

    def places(self) -> list[tuple[str, int | None]]:
        return [(f"cuda:{device}", None) for device in self.devices]

    def begin(self, zero_s: float) -> None: ...

    def kill(self, instance: int) -> None: ...

    def close(self) -> None: ...

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        if self.in_hand[instance] == self.prefetch:
            return False
        self.in_hand[instance] += 1
        device = self.devices[instance]
        began_s = max(self.free_s[device], self.now_s)
        self.free_s[device] = began_s + self.task_s * (1 + (len(queries) - 1) / 2)
        heapq.heappush(self.ends, (self.free_s[device], instance, task, began_s))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        if not self.ends or timeout_s <= 0:
            self.now_s += timeout_s
            return []
        self.now_s, instance, task, began_s = heapq.heappop(self.ends)
        self.in_hand[instance] -= 1
        if self.fails is not None and task >= self.fails[0]:
            return [self.fails[1]]
        return [Finished(instance, task, torch.zeros(1), began_s, self.now_s)]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Shared]:
    """Lets the pool that a test puts here say what time it is."""
    pools: list[Shared] = []
    monkeypatch.setattr(throughput.time, "monotonic", lambda: pools[0].now_s)
    return pools


@pytest.mark.parametrize(("devices", "parallel"), [([0], 1), ([0] * 6, 1), ([0, 1, 2, 3], 4), ([0, 0, 0, 1, 1, 1], 2)])
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_what_instances_serve_together_is_what_their_devices_do(
    clock: list[Shared], devices: list[int], parallel: int, batch_size: int, prefetch: int
) -> None:
    clock.append(pool := Shared(devices, 0.01, prefetch))
    alone_s = measure_alone(pool, "base", QUERIES, batch_size)
    together_qps = measure_together(pool, len(devices), "base", QUERIES, batch_size, 1.0)
    batch_s = 0.01 * (1 + (batch_size - 1) / 2)
    assert alone_s == pytest.approx(batch_s / batch_size)
    assert together_qps == pytest.approx(parallel * batch_size / batch_s, rel=0.02)


def test_failures_while_measuring_are_borne_unless_they_are_the_rule(clock: list[Shared]) -> None:
    clock.append(pool := Shared([0, 1], 0.01, fails=(0, Raised(0, 0, "ValueError: not this one"))))
    with pytest.raises(UserError, match="the base model cannot be served: ValueError: not this one"):
        measure_alone(pool, "base", QUERIES, 1)
    assert measure_together(pool, 2, "base", QUERIES, 1, 1.0) is None
    clock[0] = Shared([0], 0.01, fails=(5, Down(0, "cuda:0 is lost", final=True)))
    assert measure_alone(clock[0], "base", QUERIES, 1) == pytest.approx(0.01)
    clock[0] = Shared([0], 0.01, fails=(1, Up(0)))
    assert measure_together(clock[0], 1, "base", QUERIES, 1, 1.0) is None


def test_batches_are_no_larger_than_there_are_queries(clock: list[Shared]) -> None:
    clock.append(pool := Shared([0], 0.01))
    assert measure_alone(pool, "base", QUERIES[:3], 8) == pytest.approx(0.02 / 3)


def test_instances_that_share_a_gpu_are_named_with_what_would_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "mps_runs", lambda: False)
    crowded = Throughput(instances=6, service_s=0.002, together_qps=900)
    words = crowded.words(["cuda:0"] * 6, cores=16)
    assert words is not None and "\n" not in words
    for part in ("6 base instances share cuda:0", "900", "1.8 times", "500", "MPS", "pool.devices", "pool.instances=2"):
        assert part in words
    monkeypatch.setattr(throughput, "mps_runs", lambda: True)
    words = crowded.words(["cuda:0"] * 6, cores=16)
    assert words is not None and "MPS" not in words
    words = crowded.words(["cuda:0", "cuda:1"] * 3, cores=16)
    assert words is not None and "3 base instances share cuda:0 (and others share cuda:1)" in words
    assert Throughput(2, 0.002, 1000).words(["cuda:0", "cuda:1"], cores=16) is None


def test_instances_that_share_cores_are_told_of_when_they_are_too_few() -> None:
    words = Throughput(instances=6, service_s=0.01, together_qps=190).words(["cpu"] * 6, cores=2)
    assert words is not None
    for part in ("6 base instances share 2 cores", "190", "1.9 times", "pool.instances=2", "pool.service_time_ms"):
        assert part in words
    assert Throughput(instances=2, service_s=0.01, together_qps=190).words(["cpu"] * 2, cores=2) is None
