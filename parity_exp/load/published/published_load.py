"""What all readers of published traces have in common: a window of the file, its rate, and what becomes of its work."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from parity_exp.checks import SettingError, at_most_one
from parity_exp.load.load import Load
from parity_exp.load.published.requests import Requests
from parity_exp.ranges import AnyQueries, Delay, Factor, Positive, Queries, Text

SHORTEST_S = 1e-9
"""A service time of 0 counts as so much: nothing takes no time."""


class PublishedLoad(Load, ABC):
    """Arrivals of a published trace, and where the trace says how much work a request is, service times.

    Args:
        path: the file, as it was published, unpacked.
        queries: how many are measured; None: all of the window that come after the warm-up.
        warmup: how many at the beginning of the window are left out of the results.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.
        from_s: the window begins so long after the file's first arrival; times of the run count from there.
        until_s: and ends so long after it; None: with the file.
        rate_scale: the rate is so many times the file's: its times are divided by it.
        utilisation: instead, the mean rate as a share of what the base instances can serve.
        wraps: where the window has fewer queries than are wanted, it begins again; otherwise that is refused.

    Raises:
        SettingError: a setting that cannot be, with its name.
        UserError: the file is missing or wrong, with its name, the row's number and what was expected.
    """

    def __init__(
        self,
        path: Text | Path | None,
        queries: Queries | None = None,
        warmup: AnyQueries = 0,
        slo_ms: Positive | None = None,
        from_s: Delay = 0.0,
        until_s: Positive | None = None,
        rate_scale: Factor | None = None,
        utilisation: Factor | None = None,
        wraps: bool = False,
    ) -> None:
        at_most_one({"rate_scale": rate_scale, "utilisation": utilisation})
        if path is None:
            raise SettingError(f"{{path}}={{null}}: expected {self.expected}")
        if until_s is not None and until_s <= from_s:
            raise SettingError(f"{{until_s}}={until_s:g}: expected more than {{from_s}}={from_s:g}")
        requests = self.read(path)
        last_s = float(requests.arrivals_s[-1])
        chosen = requests.arrivals_s >= from_s
        if until_s is not None:
            chosen &= requests.arrivals_s < until_s
        found = int(np.count_nonzero(chosen))
        window = f"the window of {path} from {from_s:g} to {last_s if until_s is None else until_s:g} s"
        if not found:
            raise SettingError(
                f"{{from_s}}={from_s:g}: {window} has no arrivals; those of the file are from 0 to {last_s:.10g} s"
            )
        wanted = found if queries is None else warmup + queries
        if wanted <= warmup:
            raise SettingError(f"{{warmup}}={warmup}: expected fewer than the {found} arrivals of {window}")
        if wanted > found and not wraps:
            raise SettingError(
                f"{{queries}}={queries}: with {{warmup}}={warmup} expected at most {found} in all, the arrivals of "
                f"{window}; {{wraps}}=true begins again at its end"
            )
        super().__init__(wanted - warmup, warmup, slo_ms)
        arrivals_s = requests.arrivals_s[chosen] - from_s
        # The window is as long as it says; a file that ends with its last arrival is a mean gap longer.
        length_s = float(arrivals_s[-1]) * (1 + 1 / max(found - 1, 1)) if until_s is None else until_s - from_s
        if wanted > found and not length_s > 0:
            raise SettingError(f"{{wraps}}=true: all arrivals of {window} are at the same time")
        number = np.arange(wanted)
        self._arrivals_s = arrivals_s[number % found] + number // found * length_s
        self._service_s = np.maximum(requests.service_s[chosen][number % found], SHORTEST_S)
        self.rate_scale = rate_scale
        self.utilisation = utilisation

    expected = "the path of a file"
    """What ``path`` has to be, for messages."""

    @abstractmethod
    def read(self, path: str | Path) -> Requests:
        """The requests of a file.

        Raises:
            UserError: the file is missing or wrong.
        """

    @property
    def has_service_times(self) -> bool:
        """Whether the settings make service times of the file's sizes or durations."""
        return False

    def service_times(self) -> np.ndarray | None:
        return self._service_s.copy() if self.has_service_times else None

    def _own_rate(self) -> float:
        last_s = float(self._arrivals_s[-1])
        return len(self._arrivals_s) / last_s if last_s else float(len(self._arrivals_s))

    def rate(self, service_s: float, base_instances: int) -> float:
        if self.utilisation is not None:
            return self.utilisation * base_instances / service_s
        return self._own_rate() * (1.0 if self.rate_scale is None else self.rate_scale)

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        if self.utilisation is None and self.rate_scale is None:
            return self._arrivals_s.copy()
        return self._arrivals_s * (self._own_rate() / rate_qps)
