"""Slow instances rest: they are given low-priority work only, which shows when they have recovered."""

from collections.abc import Iterable

from parity_exp.policies.estimates.busyness import Busyness
from parity_exp.policies.estimates.slowness import REST, Slowness
from parity_exp.policies.policy import Actions

MOST_RESTING = 3
"""At most one instance in so many rests."""

RETRY_S = 5.0
"""An instance that has rested for this long is tried again, whether it had any work to show what it can do or not."""


class Resting:
    """Which instances of a role rest.

    Args:
        actions: of the policy whose instances they are.
        role: of the instances; all that there are.
        busyness: knows how long work typically takes.

    Attributes:
        slowness: how many tasks are slow, of each instance and of all.
        since_s: for each instance that rests since when.
        apart: instances that are given low-priority work only whatever they do.
    """

    def __init__(self, actions: Actions, role: str, busyness: Busyness) -> None:
        self._actions = actions
        self._role = role
        self._most = actions.instances // MOST_RESTING
        self.slowness = Slowness(actions.instances, busyness)
        self.since_s: dict[int, float] = {}
        self.apart: frozenset[int] = frozenset()

    def keep_apart(self, instances: Iterable[int]) -> None:
        """Give these instances low-priority work only, and no others but those that rest."""
        queues = self._actions.queues(self._role)
        before, self.apart = self.apart, frozenset(instances)
        for instance in sorted(before - self.apart):
            queues.trust(instance)
        for instance in sorted(self.apart):
            self.since_s.pop(instance, None)
            queues.rest(instance)

    def took(self, instance: int, duration_s: float, now_s: float, may_rest: bool = True) -> None:
        """See whether an instance has become slow, or is no longer; whether something is done about it."""
        rests = bool(self.since_s) and instance in self.since_s
        share = self.slowness.took(instance, duration_s)
        if not may_rest or (share <= REST and not rests):  # as most often
            return
        if instance in self.apart:
            return
        slow = self.slowness.is_slow(instance, rests)
        if slow and not rests and len(self.since_s) < self._most:
            self.since_s[instance] = now_s
            self._actions.queues(self._role).rest(instance)
        elif rests and not slow:
            self._trust(instance)

    def wake_rested(self, now_s: float) -> None:
        """Try instances again that have rested for long."""
        for instance, since_s in list(self.since_s.items()):
            if now_s - since_s >= RETRY_S:
                self.slowness.try_again(instance)
                self._trust(instance)

    def _trust(self, instance: int) -> None:
        del self.since_s[instance]
        self._actions.queues(self._role).trust(instance)
