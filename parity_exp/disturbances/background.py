"""Straggler models of somebody else at work beside some of the instances: on which, and when."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import MinLen

from parity_exp.checks import at_most_one
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.nested import shuffled
from parity_exp.disturbances.straggler import Straggler, those_there
from parity_exp.disturbances.trace import Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.ranges import Instance, Period, PositiveShare

ALL_THE_TIME = 1.0


class Spells(Straggler):
    """Something that goes on beside some instances, all the time or on and off.

    Args:
        instances: beside which; None: as many as ``fraction`` says, at random.
        fraction: of all instances, rounded, but at least one; 0.5 where neither is given.
        duty: share of the time that it goes on; 1: always.
        period_s: how long one turn of work and rest is; each begins somewhere in a turn, at random.
    """

    def __init__(
        self,
        instances: Annotated[Sequence[Instance], MinLen(1)] | None = None,
        fraction: PositiveShare | None = None,
        duty: PositiveShare = ALL_THE_TIME,
        period_s: Period = 4.0,
    ) -> None:
        at_most_one({"instances": instances, "fraction": fraction})
        self.instances = None if instances is None else sorted({int(one) for one in instances})
        self.fraction = 0.5 if fraction is None else float(fraction)
        self.duty = float(duty)
        self.period_s = float(period_s)

    @abstractmethod
    def row(self, instance: int, start_s: float, end_s: float) -> Disturbance:
        """What one spell is in the trace."""

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        if self.duty < ALL_THE_TIME:
            chosen = max(1, self.fraction * instances) if self.instances is None else len(self.instances)
            check_size(duration_s, chosen * duration_s / self.period_s)
        choice, phases = random.spawn(2)
        phase_s = phases.uniform(0, self.period_s, instances).tolist()
        return [
            self.row(instance, start_s, end_s)
            for instance in self._chosen(instances, choice)
            for start_s, end_s in self._spans(phase_s[instance], duration_s)
        ]

    def named(self) -> Sequence[int]:
        return self.instances or ()

    def _chosen(self, instances: int, random: np.random.Generator) -> list[int]:
        order = shuffled(instances, random)
        if self.instances is None:
            return sorted(order[: max(1, round(self.fraction * instances))])
        return those_there("instances", self.instances, instances)

    def _spans(self, phase_s: float, duration_s: float) -> list[tuple[float, float]]:
        if self.duty == ALL_THE_TIME:
            return [(0.0, duration_s)]
        starts = np.arange(-phase_s, duration_s, self.period_s)
        ends = np.minimum(starts + self.duty * self.period_s, duration_s)
        starts = np.maximum(starts, 0.0)
        return list(zip(starts[ends > starts].tolist(), ends[ends > starts].tolist(), strict=True))


class Background(Spells):
    """A process beside some instances, on their devices.

    Args:
        process: what it does.

    The others are those of :class:`Spells`.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        process: Helper,
        instances: Annotated[Sequence[Instance], MinLen(1)] | None = None,
        fraction: PositiveShare | None = None,
        duty: PositiveShare = ALL_THE_TIME,
        period_s: Period = 4.0,
    ) -> None:
        super().__init__(instances, fraction, duty, period_s)
        self.process = process

    def row(self, instance: int, start_s: float, end_s: float) -> Disturbance:
        return Disturbance(self.kind, instance, start_s, end_s)

    def helpers(self) -> Mapping[str, Helper]:
        return {self.kind: self.process}
