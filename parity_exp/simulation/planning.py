"""Capacity: the fewest instances with which a cluster keeps an objective, found by doubling and bisection.

A percentile of latency falls with the number of instances, but only roughly: it is a random number, and a policy may do
more for its queries on one size than on the next. So a size does not count because it kept the objective once:

- the answer lies above every size that was seen to miss the objective, in whatever search it was tried;
- the next two sizes above it, a precision apart, were tried too, and keep it;
- simulations of neighbouring sizes share their random numbers, which leaves little of the noise.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

CONFIRMED_BY = 2
"""So many sizes above an answer are tried."""

GROWTH = 1.2
"""Latencies whose median grows by more than this factor from the second to the last quarter of a run grow for ever."""

PARTS = 100_000
"""Percentiles have three digits after the point, so that ranks are computed in whole numbers."""


class CapacitySearch:
    """Searches for the fewest instances that keep objectives; sizes that one search has tried serve the next.

    Args:
        percentile_ms: of the latency on a cluster with m base instances; infinity where it has none. It is asked once
            for each size.
        most: no larger size is tried.
        guess: where the search begins, 1 to ``most``.
        precision: the answer is above the fewest by no more than this share, and exact below ``1 / precision``.

    Attributes:
        tried: the percentile on each size that was tried.
    """

    def __init__(
        self, percentile_ms: Callable[[int], float], most: int, guess: int = 1, precision: float = 0.0
    ) -> None:
        self.percentile_ms = percentile_ms
        self.most = most
        self.guess = guess
        self.precision = precision
        self.tried: dict[int, float] = {}

    def fewest(self, slo_ms: float) -> int | None:
        """The fewest base instances on which the percentile is at most ``slo_ms``; None: not even with the most."""
        while True:
            missed = max((size for size, found_ms in self.tried.items() if found_ms > slo_ms), default=0)
            kept = min((size for size in self.tried if size > missed), default=None)
            if missed == self.most:
                return None
            size = self._next(missed, kept)
            if size is None:
                return kept
            self.tried[size] = self.percentile_ms(size)

    def _next(self, missed: int, kept: int | None) -> int | None:
        """The size to try next; ``kept`` is the least that was tried above ``missed``, and none of these has missed."""
        if kept is None:
            return min(max(2 * missed, self.guess), self.most)
        step = max(1, int(kept * self.precision))
        if kept - missed > step:
            return (missed + kept) // 2
        above = (min(kept + number * step, self.most) for number in range(1, CONFIRMED_BY + 1))
        return next((size for size in above if size not in self.tried), None)


def percentile(values: NDArray[np.float64], percent: float) -> float:
    """The smallest of the values that at least so many percent of them do not exceed; nothing is interpolated.

    Args:
        values: one or more, in any order; infinite ones too.
        percent: above 0, at most 100, with up to three digits after the point.
    """
    rank = -(-round(percent * PARTS / 100) * len(values) // PARTS)
    return float(np.partition(values, rank - 1)[rank - 1])


def grows(latency_ms: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether latency grows through a run, as it does without end on a cluster with too few instances.

    A short run can be over before its percentiles show that, so the medians of its second and its last quarter are
    compared: they are about the same in a cluster that has settled.

    Args:
        latency_ms: four or more, in the order of arrival.
    """
    _, early, _, late = np.array_split(np.asarray(latency_ms), 4)
    return bool(np.median(late) > GROWTH * np.median(early))
