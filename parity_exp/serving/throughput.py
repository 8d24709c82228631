"""What instances can serve: one alone, and all together, who may share a device, cores or memory."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from torch import Tensor

from parity_exp.errors import UserError
from parity_exp.serving.pool import Down, Finished, Pool, Raised

ALONE_TASKS = range(20, 100)
"""One instance alone is measured with at least so many tasks, and with up to so many while that is quick."""

QUICK_S = 3.0
PATIENCE_S = 60.0

TASKS_EACH = 10
"""All together are measured with at least so many tasks for each instance, and for at least as long as is asked for."""

SHARING = 0.8
"""Instances that together serve less than this share of what they would serve apart get in each other's way."""


@dataclass(frozen=True)
class Throughput:
    """What base instances can serve.

    Attributes:
        instances: how many there are.
        service_s: how long one of them takes for a query while the others have nothing to do.
        together_qps: queries a second that all of them finish when none ever waits for work.
    """

    instances: int
    service_s: float
    together_qps: float

    @property
    def apart_qps(self) -> float:
        """Queries a second that they would finish if each had everything to itself."""
        return self.instances / self.service_s

    @property
    def in_each_others_way(self) -> bool:
        """Whether they share something that does not suffice for all of them."""
        return self.together_qps < SHARING * self.apart_qps

    def words(self, places: Sequence[str], cores: int | None) -> str | None:
        """What a user should know of what the instances share, in one line; None: nothing.

        Args:
            places: for each instance its device.
            cores: that all of them have; None where nobody knows.
        """
        counts = Counter(places)
        shared = {device: count for device, count in counts.items() if count > 1 and not device.startswith("cpu")}
        if not shared and not self.in_each_others_way:
            return None
        measured = (
            f"together they serve {self.together_qps:,.0f} queries/s, {self.together_qps * self.service_s:.1f} times "
            f"what one alone serves ({1 / self.service_s:,.0f}); load.utilisation is of the former"
        )
        fewer = max(1, round(self.together_qps * self.service_s))
        less = f"pool.instances={fewer}" if fewer < self.instances else ""
        if not shared:
            remedies = [
                "more cores",
                less or "fewer instances",
                "pool.service_time_ms above 0, which leaves the cores idle",
            ]
            what = "cores" if cores is None else f"{cores} cores"
            return f"{self.instances} base instances share {what}: {measured}; what changes that: {_or(remedies)}"
        (device, count), *_ = sorted(shared.items(), key=lambda item: -item[1])
        others = f" (and others share {', '.join(sorted(set(shared) - {device}))})" if len(shared) > 1 else ""
        overlap = "" if mps_runs() else "NVIDIA's MPS (nvidia-cuda-mps-control -d), without which passes take turns"
        remedies = [remedy for remedy in (overlap, "more GPUs in pool.devices", less) if remedy]
        return f"{count} base instances share {device}{others}: {measured}; what changes that: {_or(remedies)}"


def measure_alone(pool: Pool, model: str, queries: Tensor, batch_size: int, longest_s: float = 0.0) -> float:
    """How long instance 0 takes for a query, full batches one after the other, in seconds.

    Args:
        pool: started; nobody else uses it.
        model: that the instance holds.
        queries: ``(N, *query_shape)`` to take from.
        batch_size: queries in a batch.
        longest_s: how long a task may take.

    Raises:
        UserError: it answers nothing; with its own words.
    """
    durations_s: list[float] = []
    batches = _Batches(queries, batch_size)
    patience_s = max(PATIENCE_S, 2 * longest_s)
    reason = f"no answer for {patience_s:g} s"
    started_s = time.monotonic()
    deadline_s = started_s + patience_s
    for task in range(ALONE_TASKS.stop):
        spent_s = time.monotonic() - started_s
        if (task >= ALONE_TASKS.start and spent_s > QUICK_S) or (durations_s and spent_s > PATIENCE_S):
            break
        pool.send(0, task, model, batches[task])
        # One that raises, or dies, is the policies' business later on; here it only must not be the rule.
        for event in pool.poll(max(deadline_s - time.monotonic(), 0)):
            if isinstance(event, Finished) and event.instance == 0:
                durations_s.append(event.finished_s - event.started_s)
            elif isinstance(event, Raised):
                reason = event.error
            elif isinstance(event, Down) and event.instance == 0:
                reason = event.reason
                if event.final:
                    deadline_s = 0.0
    if not durations_s:
        raise UserError(f"the base model cannot be served: {reason}")
    return median(durations_s) / batches.size


def measure_together(
    pool: Pool, instances: int, model: str, queries: Tensor, batch_size: int, least_s: float
) -> float | None:
    """How many queries a second all instances finish that always have as much to do as they may hold.

    Args:
        pool: started; nobody else uses it.
        instances: the first so many of its instances take part.
        model: that they hold.
        queries: ``(N, *query_shape)`` to take from.
        batch_size: queries in a batch.
        least_s: how long to measure at least.

    Returns:
        The rate, or None where too little was finished to tell.
    """
    batches = _Batches(queries, batch_size)
    finished_s: list[float] = []
    left = [pool.prefetch] * instances
    task = 0
    started_s = time.monotonic()
    pool.poll(0)
    while True:
        now_s = time.monotonic()
        enough = len(finished_s) >= TASKS_EACH * instances and now_s - started_s >= least_s
        if enough or now_s - started_s >= max(PATIENCE_S / 2, least_s):
            break
        for instance in range(instances):
            while left[instance] and pool.send(instance, task, model, batches[task]):
                left[instance] -= 1
                task += 1
        for event in pool.poll(0.1):
            if isinstance(event, Finished):
                finished_s.append(event.finished_s)
            if isinstance(event, Finished | Raised):
                left[event.instance] += 1
            elif isinstance(event, Down):
                left[event.instance] = pool.prefetch
    # Until each has finished its first task they get going; a gap is between two ends.
    times_s = sorted(finished_s)[instances:]
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return None
    return (len(times_s) - 1) * batches.size / (times_s[-1] - times_s[0])


class _Batches:
    """Full batches, one after the other and over again."""

    def __init__(self, queries: Tensor, batch_size: int) -> None:
        self.size = min(batch_size, len(queries))
        self._queries = queries

    def __getitem__(self, number: int) -> Tensor:
        first = number * self.size % (len(self._queries) - self.size + 1)
        return self._queries[first : first + self.size]


def mps_runs() -> bool:
    """Whether NVIDIA's multi-process service seems to be there for this process."""
    return Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control").exists()


def _or(remedies: Sequence[str]) -> str:
    return remedies[0] if len(remedies) == 1 else f"{', '.join(remedies[:-1])}, or {remedies[-1]}"
