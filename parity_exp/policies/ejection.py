"""Outlier ejection: an instance that fails again and again, or is slow, is given nothing for a while."""

from collections.abc import Collection, Sequence
from math import inf
from statistics import median
from typing import Annotated

from annotated_types import Ge, Le

from parity_exp.ranges import Few, Margin, Period, PositiveShare

LEAST_INSTANCES = 3
"""Of fewer no instance is slower than the others."""


class Ejection:
    """Ejects instances, as Envoy's outlier detection does; an option of any policy, which knows nothing of it.

    An instance is ejected at once after ``errors`` failures in a row, and at the end of an interval if its tasks took
    more than ``slow_factor`` times as long in the mean as those of the median instance. It is ejected for ``base_s``
    times how often it has been; each interval without an ejection takes one off. At most a share of the instances of a
    role is ejected at a time, but one may always be where there are two; where no other is there, all come back.

    Args:
        errors: failures in a row, of models that raise and of instances that die; None: failures do not matter.
        slow_factor: times the median instance's mean duration; None: slowness does not matter.
        interval_s: how often slow instances are looked for.
        base_s: how long an instance is ejected for the first time.
        most_share: of the instances of a role.
        least_tasks: in an interval, for an instance to be compared.

    Raises:
        ValueError: both rules are left out, or a value is outside its range.
    """

    def __init__(
        self,
        errors: Few | None = 5,
        slow_factor: Margin | None = 3.0,
        interval_s: Period = 10.0,
        base_s: Period = 30.0,
        most_share: PositiveShare = 0.1,
        least_tasks: Annotated[int, Ge(1), Le(10**6)] = 20,
    ) -> None:
        if errors is None and slow_factor is None:
            raise ValueError("errors=None and slow_factor=None: nothing would ever be ejected; give one of them")
        if errors is not None and errors < 1:
            raise ValueError(f"errors={errors}: expected 1 or more, or null")
        if slow_factor is not None and slow_factor <= 1:
            raise ValueError(f"slow_factor={slow_factor}: expected more than 1, or null")
        if not 0 < most_share <= 1:
            raise ValueError(f"most_share={most_share}: expected a share above 0, at most 1")
        if not (interval_s > 0 and base_s > 0):
            raise ValueError(f"interval_s={interval_s}, base_s={base_s}: expected times above 0")
        self.errors = errors
        self.slow_factor = slow_factor
        self.interval_s = interval_s
        self.base_s = base_s
        self.most_share = most_share
        self.least_tasks = least_tasks
        self.start(())

    def start(self, roles: Sequence[int]) -> None:
        """Begin a run with so many instances of each role."""
        self._roles: list[range] = []
        for count in roles:
            first = self._roles[-1].stop if self._roles else 0
            self._roles.append(range(first, first + count))
        count = sum(roles)
        self._role_of = [role for role in self._roles for _ in role]
        self._failures = [0] * count
        self._times = [0] * count  # how often each was ejected lately
        self._tasks = [0] * count
        self._sum_s = [0.0] * count
        self._until_s: dict[int, float] = {}
        self._interval_ends_s = self.interval_s

    @property
    def ejected(self) -> Collection[int]:
        """Who is ejected."""
        return self._until_s.keys()

    @property
    def due_s(self) -> float:
        """When somebody comes back; infinity: nobody is ejected."""
        return min(self._until_s.values(), default=inf)

    def finished(self, instance: int, duration_s: float, now_s: float) -> list[int]:
        """An instance has done something; who is ejected because of that."""
        self._failures[instance] = 0
        self._tasks[instance] += 1
        self._sum_s[instance] += duration_s
        return self._look(now_s)

    def failed(self, instance: int, now_s: float) -> list[int]:
        """An instance has failed; who is ejected because of that."""
        self._failures[instance] += 1
        enough = self.errors is not None and self._failures[instance] >= self.errors
        mine = [instance] if enough and self._eject(instance, now_s) else []
        return mine + self._look(now_s)

    def back(self, now_s: float) -> list[int]:
        """Who comes back."""
        over = sorted(instance for instance, until_s in self._until_s.items() if until_s <= now_s)
        for instance in over:
            del self._until_s[instance]
        return over

    def panic(self, instance: int) -> list[int]:
        """Somebody is gone: who has to come back, because nobody else of that role may be there."""
        role = self._role_of[instance]
        everyone = sorted(one for one in role if one in self._until_s)
        for one in everyone:
            del self._until_s[one]
        return everyone

    def _look(self, now_s: float) -> list[int]:
        """At the end of an interval: who is ejected for being slow."""
        if now_s < self._interval_ends_s:
            return []
        slow = [] if self.slow_factor is None else [one for role in self._roles for one in self._slow(role)]
        ejected = [instance for instance in slow if self._eject(instance, now_s)]
        for instance in range(len(self._times)):
            if instance not in self._until_s:
                self._times[instance] = max(self._times[instance] - 1, 0)
            self._tasks[instance], self._sum_s[instance] = 0, 0.0
        self._interval_ends_s = now_s + self.interval_s
        return ejected

    def _slow(self, role: range) -> list[int]:
        """The slow ones of a role, the slowest first."""
        assert self.slow_factor is not None
        means_s = {one: self._sum_s[one] / self._tasks[one] for one in role if self._tasks[one] >= self.least_tasks}
        if len(means_s) < LEAST_INSTANCES:
            return []
        limit_s = self.slow_factor * median(means_s.values())
        return sorted((one for one, mean_s in means_s.items() if mean_s > limit_s), key=lambda one: -means_s[one])

    def _eject(self, instance: int, now_s: float) -> bool:
        """Eject an instance, if it may be."""
        role = self._role_of[instance]
        most = max(1, int(self.most_share * len(role))) if len(role) > 1 else 0
        if instance in self._until_s or sum(one in self._until_s for one in role) >= min(most, len(role) - 1):
            return False
        self._times[instance] += 1
        self._failures[instance] = 0
        self._until_s[instance] = now_s + self.base_s * self._times[instance]
        return True
