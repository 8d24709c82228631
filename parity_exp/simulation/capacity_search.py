"""Capacity: the fewest instances with which a cluster keeps an objective, found by climbing and bisection.

A percentile of latency falls with the number of instances, but only roughly. It is a random number; a policy may do
more for its queries on one size than on the next; and beyond some size it may rise again: slow instances, which have no
time for many queries while all are busy, get their full share where most are idle. So:

- an answer is a size that keeps the objective, just above one that misses it;
- the next two sizes above it, a precision apart, were tried too, and keep it; if one of them misses, the answer is
  sought above that;
- what much larger sizes do is no matter;
- simulations of neighbouring sizes share their random numbers, which leaves little of the noise.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

CONFIRMED_BY = 2
"""So many sizes above an answer are tried."""

CLIMB = 1.25
"""Sizes on the way up are so many times as large as the one before: a range that keeps an objective is not leapt over
if it is wider than that."""

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
        above = 0  # smaller ones are out of the question: one of the next sizes was seen to miss
        while True:
            kept = min((size for size, ms in self.tried.items() if size > above and ms <= slo_ms), default=None)
            missed = max(
                (size for size, ms in self.tried.items() if ms > slo_ms and (kept is None or size < kept)), default=0
            )
            if kept is None:
                if missed == self.most:
                    return None
                self._try(min(max(int(CLIMB * missed) + 1, self.guess), self.most))
                continue
            step = max(1, int(kept * self.precision))
            if kept - missed > step:
                self._try((missed + kept) // 2)
                continue
            for number in range(1, CONFIRMED_BY + 1):
                size = min(kept + number * step, self.most)
                if self._try(size) > slo_ms:
                    above = size
                    break
            else:
                return kept

    def _try(self, size: int) -> float:
        """The percentile on a size."""
        if size not in self.tried:
            self.tried[size] = self.percentile_ms(size)
        return self.tried[size]


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
