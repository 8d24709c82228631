"""A load that changes: phases of their own rates, one after the other."""

from collections.abc import Sequence
from math import inf
from typing import Literal

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.load.load import Load
from parity_exp.ranges import AnyQueries, Positive, Queries

LARGEST_SHARE = 10.0
"""Of what the base instances can serve: more is a rate in queries a second by mistake."""


class Steps(Load):
    """A Poisson process whose rate is that of the phase that it is in; after the last phase the first begins again.

    Args:
        phases: ``[duration in seconds, rate]`` of each.
        queries: how many are measured; None: as many as one pass through all phases has in the mean, less the warm-up.
        warmup: how many come before them and are left out of the results.
        unit: rates are queries a second, or shares of what the base instances can serve.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.

    Raises:
        SettingError: a setting that cannot be, with its name.
    """

    def __init__(
        self,
        phases: Sequence[Sequence[float]],
        queries: Queries | None = None,
        warmup: AnyQueries = 0,
        unit: Literal["qps", "utilisation"] = "qps",
        slo_ms: Positive | None = None,
    ) -> None:
        self.phases = [_phase(number, phase, unit) for number, phase in enumerate(phases, 1)]
        self.unit = unit
        cycle_s = sum(duration_s for duration_s, _ in self.phases)
        in_a_cycle = sum(duration_s * rate for duration_s, rate in self.phases)
        if not in_a_cycle:
            raise SettingError(f"{{phases}}={phases}: expected a phase with a rate above 0")
        self.mean = in_a_cycle / cycle_s
        if queries is None:
            if unit != "qps":
                raise SettingError("{queries}={null}: expected a number, since {unit}=utilisation says no rates itself")
            queries = round(in_a_cycle) - warmup
            if queries < 1:
                raise SettingError(
                    f"{{warmup}}={warmup}: expected fewer than the {in_a_cycle:.0f} queries of the phases"
                )
        super().__init__(queries, warmup, slo_ms)

    def rate(self, service_s: float, base_instances: int) -> float:
        return self.mean if self.unit == "qps" else self.mean * base_instances / service_s

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        durations_s, rates = np.array(self.phases).T
        # A process of rate 1 on a clock that runs as fast as the rate says.
        clock = np.cumsum(random.exponential(1.0, self.total))
        edges = np.concatenate([[0.0], np.cumsum(durations_s * rates * (rate_qps / self.mean))])
        starts_s = np.concatenate([[0.0], np.cumsum(durations_s)])
        cycles, within = np.divmod(clock, edges[-1])
        phase = np.minimum(np.searchsorted(edges, within, side="right") - 1, len(rates) - 1)
        return cycles * starts_s[-1] + starts_s[phase] + (within - edges[phase]) / (rates[phase] * rate_qps / self.mean)


def _phase(number: int, phase: object, unit: str) -> tuple[float, float]:
    """Duration and rate of a phase.

    Raises:
        SettingError: it has none.
    """
    wanted = "expected [duration in seconds, rate], such as [30, 120]"
    if not isinstance(phase, Sequence) or isinstance(phase, str) or len(phase) != 2:
        raise SettingError(f"{{phases}}: phase {number} is {phase}, {wanted}")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in phase):
        raise SettingError(f"{{phases}}: phase {number} is {phase}, {wanted}")
    duration_s, rate = map(float, phase)
    if not 0 < duration_s < inf or not 0 <= rate < inf:
        raise SettingError(
            f"{{phases}}: phase {number} is {phase}, expected a duration above 0 and a rate of 0 or more"
        )
    if unit == "utilisation" and rate > LARGEST_SHARE:
        raise SettingError(
            f"{{phases}}: phase {number} has the rate {rate:g}, expected a share of what the base instances can serve, "
            f"at most {LARGEST_SHARE:g}; give {{unit}}=qps if these are queries a second"
        )
    return duration_s, rate
