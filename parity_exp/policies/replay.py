"""What a policy asks of who can play its past again: how it would have been under other policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, log
from typing import TYPE_CHECKING, Protocol

from parity_exp.policies.estimates.seen import Seen

if TYPE_CHECKING:
    from parity_exp.policies.policy import Policy

AROUND = (2.0, 0.25)
"""A tail is the latencies that are slower than all but these multiples of the share that a percentile leaves."""

WORST = log(100)
"""Nothing counts as worse than the best by more than this factor, which one replay without an answer would be."""

SLOWEST = 10
"""And so many at least; the geometric mean of the slowest ten is about the percentile that four exceed."""


@dataclass(frozen=True)
class Replayed:
    """What one policy would have made of the past.

    Attributes:
        latencies_s: of the queries, in seconds, ascending; infinity for those without an answer.
        tasks: per query.
        reconstructed: share of the queries.
        played: tasks that were played for it, whether they count or not.
    """

    latencies_s: Sequence[float]
    tasks: float
    reconstructed: float
    played: int = 0

    def percentile_s(self, percentile: float) -> float:
        """The latency that so many in a hundred do not exceed."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percentile / 100))]

    def tail_s(self, percentile: float, arrivals: int) -> float:
        """The geometric mean of the latencies about a percentile, since a percentile alone hangs on one query.

        Args:
            percentile: the tail begins with latencies that twice as many exceed.
            arrivals: that were played, once or several times.
        """
        count = len(self.latencies_s)
        left = 1 - percentile / 100
        slow, slowest = int(count * max(AROUND[0] * left, SLOWEST / arrivals)), int(count * AROUND[1] * left)
        tail = self.latencies_s[max(0, count - max(slow, slowest + 1)) : count - slowest]
        return exp(fsum(map(log, tail)) / len(tail)) if tail[0] > 0 and tail[-1] < inf else tail[-1]


def excesses(tails_s: Mapping[str, float]) -> dict[str, float]:
    """By how much each of some latencies is above the least of them: logarithms of the ratios, within bounds.

    Where nobody answers all are alike.
    """
    least_s = min(tails_s.values())
    if not 0 < least_s < inf:
        return dict.fromkeys(tails_s, 0.0)
    return {way: WORST if tail_s == inf else min(WORST, log(tail_s / least_s)) for way, tail_s in tails_s.items()}


class Replay(Protocol):
    """Plays the past again, while the present goes on."""

    def ask(self, seen: Seen, policies: Mapping[str, "Policy"], now_s: float) -> bool:
        """Begin to play the past under each policy; False where that cannot be done at the moment."""

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        """What has come out, once; None while there is nothing."""
