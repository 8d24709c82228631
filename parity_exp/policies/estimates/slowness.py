"""How many tasks are slow, and which instances are slow for longer than a task or two."""

from math import sqrt

from parity_exp.policies.estimates.busyness import Busyness

WEIGHT = 0.15
"""Weight of an instance's newest task in its running share of slow tasks."""

SLOW = 2.0
"""A task is slow that took more than this many times the typical duration."""

REST, TRUST = 0.6, 0.25
"""An instance is slow from the upper share of slow tasks on, until its share falls below the lower one.

From none, that takes six slow tasks in a row; an instance that is late with one task in ten does not come to it."""

REST_SIGMAS, TRUST_SIGMAS = 4.5, 1.0
"""Both shares are at least so many standard deviations above the share of all.

Where service times vary so much that a quarter of all tasks is slow, a run of slow ones says nothing about an
instance."""

WEIGHT_OF_ALL = 0.0002
"""Weight of the newest task in the running share of all: it follows the last five thousand or so.

The first ones all have the same weight."""

FIRST = round(1 / WEIGHT_OF_ALL)

ENOUGH = 1_000
"""From so many tasks on the share of all means something."""


class Slowness:
    """Running share of slow tasks, of each instance and of all; one that fails counts as slow in the share of all.

    Args:
        instances: how many there are.
        busyness: knows how long a task typically takes.
    """

    def __init__(self, instances: int, busyness: Busyness) -> None:
        self.busyness = busyness
        self.shares = [0.0] * instances
        self.share_of_all = 0.0
        self.tasks = 0

    def took(self, instance: int, duration_s: float) -> float:
        """Learn how long a task of an instance has taken; the share of that instance's tasks that are slow."""
        slow = duration_s > SLOW * self.busyness.typical_s > 0
        share = self.shares[instance]
        if slow or share:
            self.shares[instance] = share = share + WEIGHT * (slow - share)
        self.tasks = tasks = self.tasks + 1
        of_all = self.share_of_all
        self.share_of_all = of_all + (slow - of_all) * (WEIGHT_OF_ALL if tasks >= FIRST else 1 / tasks)
        return share

    def failed(self) -> None:
        """A task has failed."""
        self.tasks += 1
        self.share_of_all += (1 - self.share_of_all) * max(WEIGHT_OF_ALL, 1 / self.tasks)

    def are_rarer_than(self, share: float) -> bool:
        """Whether slow tasks are known to be rarer than this."""
        return self.tasks >= ENOUGH and self.share_of_all < share

    def is_slow(self, instance: int, so_far: bool) -> bool:
        """Whether an instance is slow, given whether it was so far."""
        least, sigmas = (TRUST, TRUST_SIGMAS) if so_far else (REST, REST_SIGMAS)
        if self.shares[instance] <= least:  # as most often
            return False
        usual = self.share_of_all
        # Of the running share of an instance that is like the others.
        deviation = sqrt(WEIGHT / (2 - WEIGHT) * usual * (1 - usual))
        return self.shares[instance] > usual + sigmas * deviation

    def try_again(self, instance: int) -> None:
        """Forget most of what speaks against an instance: one or two slow tasks then suffice to find it slow again."""
        self.shares[instance] = min(self.shares[instance], (REST + TRUST) / 2)
