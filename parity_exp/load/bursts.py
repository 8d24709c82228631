"""Busy and quiet times in turn."""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from parity_exp.checks import SettingError
from parity_exp.load.load import OpenLoad
from parity_exp.ranges import AnyQueries, Factor, Period, Positive, Queries, Rate

MOST_BURSTS = 10_000_000


class Bursts(OpenLoad):
    """A Poisson process that is on and off in turn, beginning with on.

    While it is on, its rate is ``rate * (on_s + off_s) / on_s``, so that the mean over both is the rate asked for.

    Args:
        queries: how many are measured.
        warmup: how many come before them and are left out of the results.
        rate_qps: mean number of arrivals a second, quiet times included.
        utilisation: the same as a share of what the base instances can serve.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.
        on_s: mean length of busy times.
        off_s: mean length of quiet times.
        random_lengths: lengths are exponential (a Markov-modulated process); otherwise all the same.
    """

    def __init__(
        self,
        queries: Queries,
        warmup: AnyQueries = 0,
        rate_qps: Rate | None = None,
        utilisation: Factor | None = None,
        slo_ms: Positive | None = None,
        on_s: Period = 1.0,
        off_s: Annotated[float, Ge(0), Le(1e7)] = 1.0,
        random_lengths: bool = True,
    ) -> None:
        super().__init__(queries, warmup, rate_qps, utilisation, slo_ms)
        self.on_s = float(on_s)
        self.off_s = float(off_s)
        self.random_lengths = random_lengths

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        gaps, busy, quiet = random.spawn(3)
        peak_qps = rate_qps * (self.on_s + self.off_s) / self.on_s
        # Arrivals on a clock that stands still while it is quiet, then moved by the quiet times before them.
        busy_clock_s = np.cumsum(gaps.exponential(1 / peak_qps, self.total))
        if busy_clock_s[-1] / self.on_s > MOST_BURSTS:
            raise SettingError(
                f"{{on_s}}={self.on_s:g}: in {busy_clock_s[-1]:.3g} s that would be more than {MOST_BURSTS:,} busy "
                "times; make them longer"
            )
        ends_s = self._ends(busy_clock_s[-1], busy)
        quiet_before_s = np.concatenate([[0.0], np.cumsum(self._lengths(self.off_s, len(ends_s), quiet))])
        return busy_clock_s + quiet_before_s[np.searchsorted(ends_s, busy_clock_s, side="right")]

    def _ends(self, until_s: float, random: np.random.Generator) -> np.ndarray:
        """When busy times end, on the busy clock, beyond ``until_s``."""
        ends_s = np.zeros(0)
        while not len(ends_s) or ends_s[-1] <= until_s:
            more = math.ceil((until_s - (ends_s[-1] if len(ends_s) else 0)) / self.on_s) + 1
            last_s = ends_s[-1] if len(ends_s) else 0.0
            ends_s = np.concatenate([ends_s, last_s + np.cumsum(self._lengths(self.on_s, more, random))])
        return ends_s

    def _lengths(self, mean_s: float, count: int, random: np.random.Generator) -> np.ndarray:
        return random.exponential(mean_s, count) if self.random_lengths else np.full(count, mean_s)
