"""Ways to go beside each other: what each has come to when the past was played, over all replays of late."""

from collections.abc import Mapping, Sequence
from math import exp, inf, log

from parity_exp.policies.replay import Replayed

KEPT = 0.7
"""What earlier replays have shown has this share of its weight, as long as nothing changes; each weighs as much as the
arrivals that it has played."""

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

    Attributes:
        arrivals: that have been played, those of earlier replays with less weight.
        costs: of each way that has been played; the best possible is 1.
    """

    def __init__(self, percentiles: Sequence[float], task_cost: float = 0.0, reconstruction_cost: float = 0.0) -> None:
        self.percentiles = percentiles
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        self.arrivals = 0.0
        self.costs: dict[str, float] = {}
        self._parts: dict[str, list[float]] = {}  # logarithms of the ratios, and what was paid

    def learn(self, replayed: Mapping[str, Replayed], arrivals: int) -> None:
        """Add what so many arrivals have come to, by way."""
        kept = KEPT * self.arrivals
        self.arrivals = kept + arrivals
        tails_s = {way: [one.tail_s(part, arrivals) for part in self.percentiles] for way, one in replayed.items()}
        least_s = [min(of_one) for of_one in zip(*tails_s.values(), strict=True)]
        for way, one in replayed.items():
            new = [_excess(tail_s, best_s) for tail_s, best_s in zip(tails_s[way], least_s, strict=True)]
            new.append(self.task_cost * (one.tasks - 1) + self.reconstruction_cost * one.reconstructed)
            old = self._parts.get(way, new)
            parts = self._parts[way] = [
                (kept * before + arrivals * now) / self.arrivals for before, now in zip(old, new, strict=True)
            ]
            self.costs[way] = exp(max(parts[:-1])) + parts[-1]

    def forget(self) -> None:
        """Give what has been learnt no weight any more; it stays until there is something new."""
        self.arrivals = 0.0


def _excess(tail_s: float, least_s: float) -> float:
    """Logarithm of a ratio, within bounds; where nobody answers all are alike."""
    if not 0 < least_s < inf:
        return 0.0
    return WORST if tail_s == inf else min(WORST, log(tail_s / least_s))
