"""What instances know of themselves: how much work each has, and how long work has taken; and what frontends say."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from statistics import median

LATEST = 16
"""Latencies that are kept of each instance and number of pieces of work that it had."""

TOLD = 4_096
"""Of what a frontend has told the others so much is kept; who asks more rarely misses the oldest."""

Told = tuple[float, float, float, float]
"""What frontends tell each other, in numbers that policies make of it."""

CHANGES = 64
"""Changes of an instance's load that are kept, to tell what it was when an answer set out."""


class Board:
    """The instances of a cluster, as they would tell of themselves if asked; all frontends have one in common.

    An instance's load is the work in its queue and in its hands, of all frontends: work that a frontend holds back for
    it counts, for there it can still be cancelled. What a frontend knows of that is old: answers and probes tell it,
    and these take their time. Notes that frontends leave for each other are few, and are read as they are; what they
    tell each other is kept in order.

    Args:
        instances: how many there are.
        frontends: likewise.
        history: whether :meth:`load_at` is asked for.

    Attributes:
        load: of each instance.
        idle: for each frontend the instances that have said there that they are idle, in that order.
    """

    def __init__(self, instances: int, frontends: int = 1, history: bool = False) -> None:
        self.load = [0] * instances
        self.idle: list[deque[int]] = [deque() for _ in range(frontends)]
        self._notes: list[Sequence[float]] = [() for _ in range(frontends)]
        self._told: list[deque[Told]] = [deque(maxlen=TOLD) for _ in range(frontends)]
        self._told_so_far = [0] * frontends
        self._waits = [False] * instances  # in one of these
        self._changes: list[deque[tuple[float, int]]] | None = None
        if history:
            self._changes = [deque([(float("-inf"), 0)], maxlen=CHANGES) for _ in range(instances)]
        self._latencies: list[dict[int, deque[float]]] = [{} for _ in range(instances)]

    def given(self, instance: int, now_s: float) -> int:
        """An instance has been given work; its load with that."""
        self.load[instance] += 1
        self._note(instance, now_s)
        return self.load[instance]

    def rid(self, instance: int, now_s: float) -> int:
        """An instance has done work, or it was taken away; its load without that."""
        self.load[instance] -= 1
        self._note(instance, now_s)
        return self.load[instance]

    def took(self, instance: int, load: int, latency_s: float) -> None:
        """Work has taken so long, waiting included, that came when the instance's load became so much."""
        self._latencies[instance].setdefault(load, deque(maxlen=LATEST)).append(latency_s)

    def latency_s(self, instance: int) -> float:
        """How long work would take that came now: the median of what came at about this load; 0 where none has."""
        latencies = self._latencies[instance]
        if not latencies:
            return 0.0
        coming = self.load[instance] + 1
        return median(latencies[min(latencies, key=lambda load: (abs(load - coming), load))])

    def load_at(self, instance: int, time_s: float) -> int:
        """What an instance's load was at a time that is not long ago."""
        if self._changes is None:
            return self.load[instance]
        for at_s, load in reversed(self._changes[instance]):
            if at_s <= time_s:
                return load
        return self._changes[instance][0][1]

    def say_idle(self, instance: int, frontend: int) -> None:
        """An instance says to a frontend that it is idle, unless it waits at one already."""
        if not self._waits[instance]:
            self._waits[instance] = True
            self.idle[frontend].append(instance)

    def take_idle(self, frontend: int) -> int:
        """The instance that has said first to a frontend that it is idle, -1 where there is none; it waits no more."""
        if not self.idle[frontend]:
            return -1
        instance = self.idle[frontend].popleft()
        self._waits[instance] = False
        return instance

    def leave_note(self, frontend: int, numbers: Sequence[float]) -> None:
        """A frontend leaves numbers for the others, in place of those that it left before."""
        self._notes[frontend] = numbers

    def notes(self) -> list[Sequence[float]]:
        """What frontends have left."""
        return [numbers for numbers in self._notes if numbers]

    def tell(self, frontend: int, numbers: Told) -> None:
        """A frontend tells the others of something that has happened."""
        self._told[frontend].append(numbers)
        self._told_so_far[frontend] += 1

    def told(self, frontend: int, heard: int) -> tuple[Sequence[Told], int]:
        """What a frontend has told since so much was heard of it, in that order, and how much that is now."""
        told, so_far = self._told[frontend], self._told_so_far[frontend]
        new = min(so_far - heard, len(told))
        return list(islice(reversed(told), new))[::-1], so_far

    def _note(self, instance: int, now_s: float) -> None:
        if self._changes is not None:
            self._changes[instance].append((now_s, self.load[instance]))
