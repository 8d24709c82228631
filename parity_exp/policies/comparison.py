"""Ways to go beside each other: what each comes to, by what was expected of it and by replays of late."""

from collections.abc import Mapping, Sequence
from math import exp

from parity_exp.policies.estimates.experience import Expected
from parity_exp.policies.replay import Replayed, excesses

KEPT = 0.7
"""What earlier replays have shown has this share of its weight, as long as nothing changes; each weighs as much as the
arrivals that it has played."""

WORTH = 12.0
"""What is expected of a way has the weight of as many arrivals as leave so many latencies above a percentile: of the
rarer ones a replay shows less."""


class Comparison:
    """What each way comes to: its worst tail beside the least that any has, and what its answers have cost.

    The ratios of each percentile are averaged before the worst one is taken: the worst of what chance has made of
    several is larger than any of them.

    Args:
        percentiles: of the latency, that count.
        task_cost: of a further task for each query, as a share of the latency.
        reconstruction_cost: of reconstructed answers, likewise.

    """

    def __init__(self, percentiles: Sequence[float], task_cost: float, reconstruction_cost: float) -> None:
        self.percentiles = percentiles
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        self.played = 0.0  # arrivals, those of earlier replays with less weight
        self._expected: Mapping[str, Expected] = {}
        self._sure = 0.0
        self._weights: dict[str, float] = {}  # of what replays have shown, in arrivals
        self._parts: dict[str, list[float]] = {}  # logarithms of the ratios, and what was paid

    def expect(self, expected: Mapping[str, Expected], sure: float = 1.0) -> None:
        """Expect of ways what they came to elsewhere, in place of what was expected before.

        Args:
            expected: by way.
            sure: how much can be told of clusters like this one, from 0 to 1.
        """
        self._expected, self._sure = expected, sure

    def learn(self, replayed: Mapping[str, Replayed], arrivals: int, weight: float = 1.0) -> None:
        """Add what so many arrivals have come to, by way, with less weight than others if told so."""
        self.played *= KEPT
        for way in self._weights:
            self._weights[way] *= KEPT
        new = weight * arrivals
        self.played += new
        by_percentile = [
            excesses({way: one.tail_s(part, arrivals) for way, one in replayed.items()}) for part in self.percentiles
        ]
        for way, one in replayed.items():
            parts = [excess[way] for excess in by_percentile] + [self._paid(one)]
            kept = self._weights.get(way, 0.0)
            self._weights[way] = kept + new
            before = self._parts.get(way, parts)
            self._parts[way] = [(kept * old + new * now) / (kept + new) for old, now in zip(before, parts, strict=True)]

    def forget(self) -> None:
        """What replays have shown holds no longer."""
        self.played = 0.0
        self._weights.clear()
        self._parts.clear()

    @property
    def arrivals(self) -> float:
        """How much is known, in arrivals that have been played or that what is expected is worth."""
        return self.played + (self._worth(min(self.percentiles)) if self._expected else 0.0)

    @property
    def costs(self) -> dict[str, float]:
        """What each way comes to of which anything is known; the best possible is 1."""
        return {way: self._cost(way) for way in dict.fromkeys((*self._expected, *self._parts))}

    def _cost(self, way: str) -> float:
        if way not in self._expected:
            return exp(max(self._parts[way][:-1])) + self._parts[way][-1]
        expected = self._expected[way]
        seen, parts = self._weights.get(way, 0.0), self._parts.get(way)
        if parts is None:
            return exp(max(map(expected.excess_at, self.percentiles))) + self._paid(expected)
        worst = max(
            (self._worth(percentile) * expected.excess_at(percentile) + seen * part) / (self._worth(percentile) + seen)
            for percentile, part in zip(self.percentiles, parts[:-1], strict=True)
        )
        return exp(worst) + parts[-1]

    def _worth(self, percentile: float) -> float:
        return self._sure * WORTH / (1 - percentile / 100)

    def _paid(self, one: Replayed | Expected) -> float:
        return self.task_cost * (one.tasks - 1) + self.reconstruction_cost * one.reconstructed
