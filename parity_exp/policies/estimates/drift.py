"""Whether tasks are slow more often than they were, or less: stragglers have changed."""

from collections import deque
from math import sqrt
from statistics import fmean, median, variance

FIRST, MARGIN = 200, 1.5
"""A task is slow that takes longer than the median of the first ones by this factor."""

BLOCK = 200
"""Slow tasks are counted in blocks of so many tasks; at one of several frontends each has its share."""

FEWEST = 50
"""Nor fewer in a block than so many."""

LATEST, EARLIER, MOST = 3, 6, 40
"""So many blocks are compared with those before them, of which there have to be so many, and of which so many are
remembered."""

SIGMAS = 4.0
"""By so many standard deviations they differ where something has changed."""


class Drift:
    """Compares how many of the latest tasks were slow with how many were before.

    Slow tasks come together, by spells and instances. So it is not the chance of single tasks that says by how much
    counts may differ, but by how much those of earlier blocks have differed, if that is more.

    Args:
        frontends: how many give the instances work.
    """

    def __init__(self, frontends: int = 1) -> None:
        self.block = max(FEWEST, BLOCK // frontends)
        self._first_s: list[float] = []
        self._slow_s = 0.0  # what takes longer is slow; 0: not known yet
        self._counts: deque[int] = deque(maxlen=MOST)
        self._begins_s: deque[float] = deque(maxlen=LATEST)
        self._tasks = self._slow = 0
        self._since_s: float | None = None

    def took(self, duration_s: float, now_s: float) -> None:
        """Learn how long a task has taken that is over now."""
        if not self._slow_s:
            self._first_s.append(duration_s)
            if len(self._first_s) == FIRST:
                self._slow_s = MARGIN * median(self._first_s)
                self._first_s.clear()
            return
        if not self._tasks:
            self._begins_s.append(now_s)
        self._tasks += 1
        self._slow += duration_s > self._slow_s
        if self._tasks == self.block:
            self._counts.append(self._slow)
            self._tasks = self._slow = 0
            self._compare()

    def since_s(self) -> float | None:
        """Since when tasks have been otherwise, to a block, if they are; it is told once. None: they are not."""
        told, self._since_s = self._since_s, None
        return told

    def _compare(self) -> None:
        if len(self._counts) < LATEST + EARLIER:
            return
        counts = list(self._counts)
        earlier, latest = counts[:-LATEST], counts[-LATEST:]
        usual = fmean(earlier)
        spread = max(variance(earlier), usual * (1 - usual / self.block) + 1)  # of no slow task so far there may be one
        if abs(fmean(latest) - usual) >= SIGMAS * sqrt(spread * (1 / LATEST + 1 / len(earlier))):
            # Some of them may still be as those before: it began with one that is nearer to the last of all.
            old = [abs(count - usual) < abs(count - latest[-1]) for count in latest]
            first = old.index(False)
            self._counts = deque(latest[first:], maxlen=MOST)
            self._since_s = self._begins_s[first]
