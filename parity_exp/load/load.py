"""What every load is: how many queries come, when, and by when each must be answered.

To write your own, subclass :class:`OpenLoad` and implement :meth:`Load.arrivals`.
"""

from abc import ABC, abstractmethod

import numpy as np

from parity_exp.checks import Checked, SettingError, at_most_one
from parity_exp.ranges import AnyQueries, Factor, Positive, Queries, Rate

DEFAULT_UTILISATION = 0.5

MOST_QUERIES = 100_000_000
"""More are not held in memory."""

LONGEST_S = 1e11
"""No run lasts longer: some 3,000 years, in which moments are still told apart to some 20 microseconds."""


class Load(Checked, ABC):
    """Base class of loads.

    Args:
        queries: how many are measured.
        warmup: how many come before them and are left out of the results.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.

    Raises:
        SettingError: a setting that cannot be, with its name.
    """

    open_loop = True
    """Whether arrivals do not wait for answers."""

    think_s: float | None = None
    """Of a closed loop: a client's next query follows this long after its answer. None for open loops."""

    def __init__(self, queries: Queries, warmup: AnyQueries = 0, slo_ms: Positive | None = None) -> None:
        self.queries = queries
        self.warmup = warmup
        self.slo_ms = None if slo_ms is None else float(slo_ms)
        if self.total > MOST_QUERIES:
            name, value = max(("queries", queries), ("warmup", warmup), key=lambda one: one[1])
            raise SettingError(f"{{{name}}}={value}: expected at most {MOST_QUERIES:,} queries, warm-up included")

    @property
    def total(self) -> int:
        """Queries, warm-up included."""
        return self.warmup + self.queries

    @abstractmethod
    def rate(self, service_s: float, base_instances: int) -> float:
        """Mean number of arrivals a second.

        Args:
            service_s: how long a base instance takes for a query while all are busy.
            base_instances: how many there are (m, whatever the policy adds).
        """

    def service_times(self) -> np.ndarray | None:
        """How long each query takes on a base instance by itself, where the load says so.

        Returns:
            ``(warmup + queries,)`` float64, seconds; None: the load says nothing of that.
        """
        return None

    @abstractmethod
    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        """When queries arrive.

        Args:
            rate_qps: what :meth:`rate` says.
            random: the load's own stream of random numbers.

        Returns:
            ``(warmup + queries,)`` float64, seconds from the beginning of the run, ascending.
        """


class OpenLoad(Load):
    """Base class of loads that have a rate.

    Args:
        queries: how many are measured.
        warmup: how many come before them and are left out of the results.
        rate_qps: mean number of arrivals a second.
        utilisation: the same as a share of what the base instances can serve; may exceed 1. 0.5 where neither of the
            two is given.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.

    Raises:
        SettingError: a setting that cannot be, with its name.
    """

    def __init__(
        self,
        queries: Queries,
        warmup: AnyQueries = 0,
        rate_qps: Rate | None = None,
        utilisation: Factor | None = None,
        slo_ms: Positive | None = None,
    ) -> None:
        super().__init__(queries, warmup, slo_ms)
        at_most_one({"rate_qps": rate_qps, "utilisation": utilisation})
        self.rate_qps = None if rate_qps is None else float(rate_qps)
        self.utilisation = DEFAULT_UTILISATION if utilisation is None else float(utilisation)

    def rate(self, service_s: float, base_instances: int) -> float:
        if self.rate_qps is not None:
            return self.rate_qps
        return self.utilisation * base_instances / service_s
