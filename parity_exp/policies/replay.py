"""What a policy asks of who can play its past again: how it would have been under other policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from parity_exp.policies.estimates.seen import Seen

if TYPE_CHECKING:
    from parity_exp.policies.policy import Policy


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


class Replay(Protocol):
    """Plays the past again, while the present goes on."""

    def ask(self, seen: Seen, policies: Mapping[str, "Policy"], now_s: float) -> bool:
        """Begin to play the past under each policy; False where that cannot be done at the moment."""

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        """What has come out, once; None while there is nothing."""
