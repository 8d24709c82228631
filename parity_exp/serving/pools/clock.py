"""What another machine's clock says, from messages that went there and came back."""

from dataclasses import dataclass, field

FORGET = 1.02
"""By how much an old measurement loses with every new one: clocks drift, and the quickest answer is not the last."""


@dataclass
class Clock:
    """How far another clock is ahead of ours.

    An answer that says what the other clock showed tells it to within half of the time that question and answer took
    (Cristian, Probabilistic clock synchronization, 1989); the quickest of the late answers counts.

    Attributes:
        ahead_s: what to add to our time to get theirs.
    """

    ahead_s: float = 0.0
    _quickest_s: float = field(default=float("inf"), repr=False)

    def heard(self, asked_s: float, theirs_s: float, answered_s: float) -> None:
        """Learn from an answer; ``asked_s`` and ``answered_s`` by our clock, ``theirs_s`` by the other."""
        self._quickest_s *= FORGET
        if answered_s - asked_s <= self._quickest_s:
            self._quickest_s = answered_s - asked_s
            self.ahead_s = theirs_s - (asked_s + answered_s) / 2
