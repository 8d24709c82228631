"""Ways to go beside each other: what each has come to when the past was played, over all replays of late."""

from collections.abc import Mapping, Sequence
from math import exp, inf, log

from parity_exp.policies.replay import Replayed

KEPT = 0.7
"""What earlier replays have shown has this share of its weight, as long as nothing changes; each weighs as much as the
arrivals that it has played."""

EXPECTED = 300
"""What was expected of ways before anything was played has the weight of so many arrivals."""

WORST = log(100)
"""Nothing counts as worse than the best by more than this factor, which one replay without an answer would be."""


class Comparison:
    """What each way comes to: its worst tail beside the least that any has, and what its answers have cost.

    The ratios of each percentile are averaged over replays before the worst one is taken: the worst of what chance has
    made of several is larger than any of them.

    Args:
        percentiles: of the latency, that count.
        task_cost: of a further task for each query, as a share of the latency.
        reconstruction_cost: of reconstructed answers, likewise.
        expected: what ways come to as a rule; of others nothing is expected.

    Attributes:
        arrivals: that have been played, those of earlier replays with less weight.
        costs: of each way that has been played; the best possible is 1.
    """

    def __init__(
        self,
        percentiles: Sequence[float],
        task_cost: float,
        reconstruction_cost: float,
        expected: Mapping[str, float] | None = None,
    ) -> None:
        self.percentiles = percentiles
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        self.expected = {} if expected is None else expected
        self.costs: dict[str, float] = {}
        self.arrivals = 0.0
        self._parts: dict[str, list[float]] = {}  # logarithms of the ratios, and what was paid
        self.forget()

    def learn(self, replayed: Mapping[str, Replayed], arrivals: int, weight: float = 1.0) -> None:
        """Add what so many arrivals have come to, by way, with less weight than others if told so."""
        kept = KEPT * self.arrivals if self._parts else self.arrivals
        new_arrivals = weight * arrivals
        self.arrivals = kept + new_arrivals
        tails_s = {way: [one.tail_s(part, arrivals) for part in self.percentiles] for way, one in replayed.items()}
        least_s = [min(of_one) for of_one in zip(*tails_s.values(), strict=True)]
        for way, one in replayed.items():
            new = [_excess(tail_s, best_s) for tail_s, best_s in zip(tails_s[way], least_s, strict=True)]
            new.append(self.task_cost * (one.tasks - 1) + self.reconstruction_cost * one.reconstructed)
            old = self._parts.get(way) or self._as_expected(way) or new
            parts = self._parts[way] = [
                (kept * before + new_arrivals * now) / self.arrivals for before, now in zip(old, new, strict=True)
            ]
            self.costs[way] = exp(max(parts[:-1])) + parts[-1]

    def forget(self) -> None:
        """Know no more than what was expected; costs stay until there is something new."""
        self.arrivals = float(EXPECTED) if self.expected else 0.0
        self._parts.clear()

    def _as_expected(self, way: str) -> list[float] | None:
        return [log(self.expected[way])] * len(self.percentiles) + [0.0] if way in self.expected else None


def _excess(tail_s: float, least_s: float) -> float:
    """Logarithm of a ratio, within bounds; where nobody answers all are alike."""
    if not 0 < least_s < inf:
        return 0.0
    return WORST if tail_s == inf else min(WORST, log(tail_s / least_s))
