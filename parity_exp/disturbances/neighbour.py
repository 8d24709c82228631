"""Somebody else at work beside an instance, as a slowdown: for simulations, which have no devices to share."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from parity_exp.disturbances.background import ALL_THE_TIME, Spells
from parity_exp.disturbances.trace import SLOW, Disturbance
from parity_exp.ranges import Instance, Period, PositiveShare


class Neighbour(Spells):
    """While a neighbour is at work, a task that its instance begins takes ``factor`` times as long.

    It stands for a second service (Parity Models, SOSP 2019, section 5) where :class:`Multitenancy` would start one.

    Args:
        factor: how many times as long.

    The others are those of :class:`Spells`.
    """

    def __init__(
        self,
        factor: Annotated[float, Ge(1), Le(10**6)],
        instances: Annotated[Sequence[Instance], MinLen(1)] | None = None,
        fraction: PositiveShare | None = None,
        duty: PositiveShare = ALL_THE_TIME,
        period_s: Period = 4.0,
    ) -> None:
        super().__init__(instances, fraction, duty, period_s)
        self.factor = float(factor)

    def row(self, instance: int, start_s: float, end_s: float) -> Disturbance:
        return Disturbance(SLOW, instance, start_s, end_s, self.factor)
