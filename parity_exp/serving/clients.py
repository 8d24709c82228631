"""Who asks: says which query is due when, in an open loop and in a closed one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush


class Clients(ABC):
    """The clients of a frontend.

    Attributes:
        next_s: when the next query is due, as far as that is known; infinity: nobody knows.
    """

    next_s: float = math.inf

    @abstractmethod
    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        """Queries that are due and have not been asked, each with the time that it was due."""

    @abstractmethod
    def answered(self, count: int, now_s: float) -> None:
        """So many have their answers."""

    @abstractmethod
    def are_quiet(self) -> bool:
        """Whether nobody asks anything more as long as nobody is answered; asked when none is due."""

    @property
    @abstractmethod
    def are_served(self) -> bool:
        """Whether all have their answers, and none will come."""


class AllClients(Clients):
    """All clients of a run.

    Args:
        arrivals_s: scheduled arrivals, ascending; of a closed loop each client's first.
        total: queries of all.
        think_s: of a closed loop: a client's next query follows this long after its answer. None for open loops.
    """

    def __init__(self, arrivals_s: Sequence[float], total: int, think_s: float | None) -> None:
        self._due_s = list(arrivals_s)
        heapify(self._due_s)
        self._total = total
        self._think_s = think_s
        self._sent = self._answered = 0
        self._look()

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        due_s = self._due_s
        while due_s and due_s[0] <= now_s:
            scheduled_s = heappop(due_s)
            if self._sent < self._total:  # a closed loop's clients would go on for ever
                self._sent += 1
                yield self._sent - 1, scheduled_s
        self._look()

    def answered(self, count: int, now_s: float) -> None:
        self._answered += count
        if self._think_s is not None:
            for _ in range(count):
                heappush(self._due_s, now_s + self._think_s)
            self._look()

    def are_quiet(self) -> bool:
        return not self._due_s

    @property
    def are_served(self) -> bool:
        return self._answered == self._total

    def _look(self) -> None:
        self.next_s = self._due_s[0] if self._due_s else math.inf
