"""An instance, or some, are slow for good: a throttled processor, a bad disk, a noisy neighbour that stays."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from parity_exp.checks import SettingError
from parity_exp.disturbances.nested import shuffled
from parity_exp.disturbances.straggler import Straggler, those_there
from parity_exp.disturbances.trace import SLOW, Disturbance
from parity_exp.ranges import Delay, Factor, Instance


class Degraded(Straggler):
    """Every task of one instance, or of several, takes longer, from ``start_s`` to the end of the trace.

    Args:
        factor: how many times as long.
        extra_ms: how much longer still.
        instance: which; None: one at random.
        start_s: since when.
        count: how many; more than one are drawn at random.
    """

    def __init__(
        self,
        factor: Factor = 4.0,
        extra_ms: Delay = 0.0,
        instance: Instance | None = None,
        start_s: Delay = 0.0,
        count: Annotated[int, Ge(1), Le(10**6)] = 1,
    ) -> None:
        self.factor = float(factor)
        self.extra_ms = float(extra_ms)
        self.instance = instance
        self.start_s = float(start_s)
        self.count = count
        if self.instance is not None and self.count > 1:
            raise SettingError(f"{{instance}}={instance} names one instance, {{count}}={count}; leave one of them out")

    def named(self) -> Sequence[int]:
        return () if self.instance is None else (self.instance,)

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        order = shuffled(instances, random)
        first = order[0] if self.instance is None else self.instance
        those_there("instance", [first], instances, first)
        if self.count > instances:
            raise SettingError(f"{{count}}={self.count}: there are {instances} instances")
        if self.start_s >= duration_s:
            return []
        others = [instance for instance in order if instance != first]
        return [
            Disturbance(SLOW, instance, self.start_s, duration_s, self.factor, self.extra_ms)
            for instance in [first, *others][: self.count]
        ]
