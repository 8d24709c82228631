"""Ways to go beside each other: what each comes to, by what was expected of it and by replays of late."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, isnan, nan

from parity_exp.policies.estimates.experience import Expected
from parity_exp.policies.replay import Replayed, excesses

KEPT = 0.7
"""What earlier replays have shown has this share of its weight, as long as nothing changes; each weighs as much as the
arrivals that it has played."""

WORTH = 12.0
"""What is expected of a way has the weight of as many arrivals as leave so many latencies above a percentile: of the
rarer ones a replay shows less."""


@dataclass(slots=True)
class Opinion:
    """What is known of a way: at each percentile the logarithm of its ratio to the best, and then what is paid for it.

    Attributes:
        expected: before anything was played; None: nothing.
        shown: by replays, likewise.
        weight: of what these have shown, in arrivals.
    """

    expected: list[float] | None = None
    shown: list[float] | None = None
    weight: float = 0.0


class Comparison:
    """What each way comes to: its worst tail beside the least that any has, and what its answers have cost.

    The ratios of each percentile are averaged before the worst one is taken: the worst of what chance has made of
    several is larger than any of them.

    Args:
        percentiles: of the latency, that count.
        task_cost: of a further task for each query, as a share of the latency.
        reconstruction_cost: of reconstructed answers, likewise.
        turns: who play the past by turns: each has another one replay when all others have had one.
    """

    def __init__(
        self, percentiles: Sequence[float], task_cost: float, reconstruction_cost: float, turns: int = 1
    ) -> None:
        self.percentiles = percentiles
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        self.kept = KEPT**turns
        self.played = 0.0  # arrivals, those of earlier replays with less weight
        self._sure = 0.0
        self._opinions: dict[str, Opinion] = {}

    def expect(self, expected: Mapping[str, Expected], sure: float = 1.0) -> None:
        """Expect of ways what they came to elsewhere, in place of what was expected before.

        Args:
            expected: by way.
            sure: how much can be told of clusters like this one, from 0 to 1.
        """
        self._sure = sure
        for way, one in expected.items():
            self._of(way).expected = [*map(one.excess_at, self.percentiles), self._paid(one)]

    def learn(self, replayed: Mapping[str, Replayed], arrivals: int, weight: float = 1.0) -> None:
        """Add what so many arrivals have come to, by way, with less weight than others if told so."""
        self.played *= self.kept
        for opinion in self._opinions.values():
            opinion.weight *= self.kept
        new = weight * arrivals
        self.played += new
        by_percentile = [
            excesses({way: one.tail_s(part, arrivals) for way, one in replayed.items()}) for part in self.percentiles
        ]
        for way, one in replayed.items():
            opinion = self._of(way)
            parts = [excess[way] for excess in by_percentile] + [self._paid(one)]
            opinion.shown = _mean([(opinion.weight, opinion.shown or parts), (new, parts)])
            opinion.weight += new

    def forget(self) -> None:
        """What replays have shown holds no longer."""
        self.played = 0.0
        for opinion in self._opinions.values():
            opinion.shown, opinion.weight = None, 0.0

    @property
    def arrivals(self) -> float:
        """How much is known, in arrivals that have been played or that what is expected is worth."""
        expects = any(opinion.expected for opinion in self._opinions.values())
        return self.played + (self._worth(min(self.percentiles)) if expects else 0.0)

    @property
    def costs(self) -> dict[str, float]:
        """What each way comes to of which anything is known; the best possible is 1."""
        known = {way: one for way, one in self._opinions.items() if one.expected or one.shown}
        return {way: self._cost(one) for way, one in known.items()}

    def note(self, ways: Iterable[str]) -> list[float]:
        """All that is known of some ways, in numbers; :meth:`together` reads them."""
        nothing = [nan] * (len(self.percentiles) + 1)
        numbers = [self._sure]
        for opinion in (self._opinions.get(way, Opinion()) for way in ways):
            numbers += [*(opinion.expected or nothing), *(opinion.shown or nothing), opinion.weight]
        return numbers

    def together(self, notes: Sequence[Sequence[float]], ways: Iterable[str]) -> "Comparison":
        """What several know of the same ways: the mean of what they expect, and of all replays what these have shown.

        Args:
            notes: of each of them, one at least, who have the percentiles of this one.
            ways: that they are of.
        """
        one = Comparison(self.percentiles, self.task_cost, self.reconstruction_cost)
        one._sure = sum(note[0] for note in notes) / len(notes)
        parts = len(self.percentiles) + 1
        for place, way in enumerate(ways):
            first = 1 + place * (2 * parts + 1)
            of_way = [note[first : first + 2 * parts + 1] for note in notes]
            expected = [(1.0, own[:parts]) for own in of_way if not isnan(own[0])]
            shown = [(own[-1], own[parts : 2 * parts]) for own in of_way if own[-1] > 0]
            one._opinions[way] = Opinion(_mean(expected), _mean(shown), sum(weight for weight, _ in shown))
        one.played = max(opinion.weight for opinion in one._opinions.values())
        return one

    def _of(self, way: str) -> Opinion:
        return self._opinions.setdefault(way, Opinion())

    def _cost(self, opinion: Opinion) -> float:
        expected, shown, seen = opinion.expected, opinion.shown, opinion.weight
        if expected is None or shown is None:
            only = expected or shown
            assert only is not None
            return exp(max(only[:-1])) + only[-1]
        worth = map(self._worth, self.percentiles)
        both = (
            (some * known + seen * part) / (some + seen)
            for some, known, part in zip(worth, expected[:-1], shown[:-1], strict=True)
        )
        return exp(max(both)) + shown[-1]

    def _worth(self, percentile: float) -> float:
        return self._sure * WORTH / (1 - percentile / 100)

    def _paid(self, one: Replayed | Expected) -> float:
        return self.task_cost * (one.tasks - 1) + self.reconstruction_cost * one.reconstructed


def _mean(some: Sequence[tuple[float, Sequence[float]]]) -> list[float] | None:
    """The mean of lists, by their weights; None of none."""
    weight = sum(one for one, _ in some)
    return [sum(one * parts[at] for one, parts in some) / weight for at in range(len(some[0][1]))] if some else None
