"""When a task counts as late: after a fixed time, or after a percentile of what tasks have taken so far."""

from array import array

import numpy as np

FIRST = 20
"""Until this many durations are known, nothing counts as late."""

WINDOW = 1_000
"""Durations that the percentile is taken over: the last this many."""

REFRESH = 50
"""The percentile is computed again after this many further durations."""

PERCENTILE, MARGIN = 90, 1.2
"""What policies take unless they are told otherwise."""


class Lateness:
    """Tells how long after it was placed a task counts as late.

    Args:
        delay_ms: a fixed time; None takes the percentile.
        percentile: of the durations of the last :data:`WINDOW` tasks, from placed to finished.
        margin: the percentile is multiplied by this, so that tasks that take their usual time are not late.

    Attributes:
        delay_s: how long; None while nothing is known.

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(self, delay_ms: float | None, percentile: float, margin: float) -> None:
        if delay_ms is not None and delay_ms < 0:
            raise ValueError(f"delay_ms={delay_ms}: expected a time of 0 or more, or null for the running percentile")
        if not 0 < percentile < 100:
            raise ValueError(f"percentile={percentile}: expected a number between 0 and 100")
        if margin < 1:
            raise ValueError(f"margin={margin}: expected 1 or more")
        self.fixed_s = None if delay_ms is None else delay_ms / 1e3
        self.percentile = percentile
        self.margin = margin
        self.forget()

    def forget(self) -> None:
        """Begin anew, with nothing known."""
        self.durations = array("d")  # those that the percentile was taken over
        self._fresh: list[float] = []  # later ones
        self.delay_s: float | None = self.fixed_s

    def took(self, duration_s: float) -> None:
        """Learn how long a task has taken."""
        if self.fixed_s is not None:
            return
        fresh = self._fresh
        fresh.append(duration_s)
        if len(fresh) >= REFRESH or (self.delay_s is None and len(fresh) >= FIRST):
            self._refresh()

    def go_on_from(self, before: "Lateness") -> None:
        """Know what another one knows."""
        self.durations, self._fresh = before.durations, before._fresh
        if self.fixed_s is None and len(self.durations) + len(self._fresh) >= FIRST:
            self._refresh()

    def _refresh(self) -> None:
        durations = self.durations
        durations.fromlist(self._fresh)
        self._fresh.clear()
        del durations[:-WINDOW]
        rank = int(len(durations) * self.percentile / 100)
        # Without sorting them, which would take several times as long.
        self.delay_s = self.margin * float(np.partition(np.frombuffer(durations), rank)[rank])
