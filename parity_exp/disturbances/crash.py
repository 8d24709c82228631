"""Instances are killed without warning (SIGKILL); the pool restarts them."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from parity_exp.checks import at_most_one
from parity_exp.disturbances.nested import one_each
from parity_exp.disturbances.straggler import Straggler, those_there
from parity_exp.disturbances.trace import KILL, Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.ranges import Delay, Instance, Period

DEFAULT_RATE_PER_S = 0.1


class Crash(Straggler):
    """Kills at given times, at regular intervals, or at random times; give one of the four, or none.

    Args:
        times_s: when.
        interval_s: one kill after each such interval.
        rate_per_s: mean number of kills a second in the whole cluster, a Poisson process; 0.1 where nothing is given.
        instance: who is killed; None: each time one at random.
        mtbf_s: mean time between failures of an instance: the same for each of them, as a Poisson process.
    """

    def __init__(
        self,
        times_s: Sequence[Delay] | None = None,
        interval_s: Period | None = None,
        rate_per_s: Annotated[float, Gt(0), Le(1000)] | None = None,
        instance: Instance | None = None,
        mtbf_s: Period | None = None,
    ) -> None:
        choices = {"times_s": times_s, "interval_s": interval_s, "rate_per_s": rate_per_s, "mtbf_s": mtbf_s}
        at_most_one(choices)
        self.times_s = None if times_s is None else [float(time_s) for time_s in times_s]
        self.interval_s = None if interval_s is None else float(interval_s)
        self.rate_per_s = DEFAULT_RATE_PER_S if rate_per_s is None else rate_per_s
        self.mtbf_s = mtbf_s
        self.instance = instance

    def named(self) -> Sequence[int]:
        return () if self.instance is None else (self.instance,)

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        if self.instance is not None:
            those_there("instance", [self.instance], instances, self.instance)
        when, who = random.spawn(2)
        if self.mtbf_s is not None:
            return self._failures(self.mtbf_s, instances, duration_s, when)
        if self.times_s is None:
            check_size(duration_s, duration_s * (self.rate_per_s if self.interval_s is None else 1 / self.interval_s))
        times_s = self._times(duration_s, when)
        victims = one_each(instances, len(times_s), who).tolist()
        return [
            Disturbance(KILL, victim if self.instance is None else self.instance, time_s, time_s)
            for time_s, victim in zip(times_s, victims, strict=True)
        ]

    def _failures(
        self, mtbf_s: float, instances: int, duration_s: float, random: np.random.Generator
    ) -> list[Disturbance]:
        """Kills of each instance, or of the one that is named, as a process of its own."""
        check_size(duration_s, duration_s / mtbf_s * (instances if self.instance is None else 1))
        return [
            Disturbance(KILL, victim, time_s, time_s)
            for victim, stream in enumerate(random.spawn(instances))
            if self.instance in (None, victim)
            for time_s in _poisson(1 / mtbf_s, duration_s, stream)
        ]

    def _times(self, duration_s: float, random: np.random.Generator) -> list[float]:
        if self.times_s is not None:
            return [time_s for time_s in self.times_s if time_s < duration_s]
        if self.interval_s is not None:
            return np.arange(self.interval_s, duration_s, self.interval_s).tolist()
        return _poisson(self.rate_per_s, duration_s, random)


def _poisson(rate_per_s: float, duration_s: float, random: np.random.Generator) -> list[float]:
    """Times of a Poisson process."""
    times_s = []
    time_s = random.exponential(1 / rate_per_s)
    while time_s < duration_s:
        times_s.append(time_s)
        time_s += random.exponential(1 / rate_per_s)
    return times_s
