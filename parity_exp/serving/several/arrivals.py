"""Who asks whom: which frontend a query goes to, and in a closed loop when."""

from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from math import inf

import numpy as np
from numpy.typing import NDArray


class Arrivals:
    """The queries of a run, split between frontends.

    A frontend of an open loop knows its queries from the start. What is passed on during the run is the queries of a
    closed loop, and those of a frontend that has died: they go to the others, in turn.

    Args:
        owner_of: ``(total,)``, the frontend that each query goes to, by their order.
        arrivals_s: scheduled arrivals; of a closed loop each client's first.
        think_s: of a closed loop: a client's next query follows this long after its answer. None for open loops.

    Attributes:
        next_s: when there is something to pass on; infinity: not before somebody is answered or dies.
    """

    def __init__(self, owner_of: NDArray[np.int64], arrivals_s: NDArray[np.float64], think_s: float | None) -> None:
        self.owner_of = owner_of.astype(np.int64)
        self.closed = think_s is not None
        self.total = len(owner_of)
        self._arrivals_s = arrivals_s
        self._think_s = think_s
        self._clients: list[float] = arrivals_s.tolist() if self.closed else []
        heapify(self._clients)
        self._sent = 0 if self.closed else self.total
        self._orphans: list[tuple[float, int]] = []
        self._due_s: dict[int, float] = {}
        self._turn = 0
        self._look()

    def of(self, frontend: int) -> tuple[list[int], list[float]]:
        """The queries that a frontend knows from the start, and when they are due."""
        own = np.flatnonzero(self.owner_of == frontend) if not self.closed else np.zeros(0, dtype=np.int64)
        return own.tolist(), self._arrivals_s[own].tolist()

    def due(self, now_s: float, living: Collection[int]) -> Iterator[tuple[int, int, float]]:
        """What is to be passed on now: the frontend, the query, and when it was due."""
        while self._orphans and self._orphans[0][0] <= now_s:
            due_s, query = heappop(self._orphans)
            yield self._owner(query, living), query, due_s
        while self._clients and self._clients[0] <= now_s:
            due_s = heappop(self._clients)
            if self._sent < self.total:
                query = self._sent
                self._sent += 1
                self._due_s[query] = due_s
                yield self._owner(query, living), query, due_s
        self._look()

    def answered(self, count: int, at_s: float) -> None:
        """So many clients have been answered, or will never be."""
        if self._think_s is not None:
            for _ in range(count):
                heappush(self._clients, at_s + self._think_s)
            self._look()

    def all_sent(self) -> bool:
        """Whether every query has been passed on, or is a frontend's from the start."""
        return self._sent == self.total and not self._orphans

    def of_the_dead(self, frontend: int) -> NDArray[np.int64]:
        """Queries that were a frontend's."""
        return np.flatnonzero(self.owner_of[: self._sent] == frontend)

    def pass_on(self, queries: NDArray[np.int64]) -> None:
        """Queries that have come to nobody are others' to answer."""
        for query in queries.tolist():
            heappush(self._orphans, (self._due_s.get(query, 0.0) if self.closed else self._arrivals_s[query], query))
        self._look()

    def _owner(self, query: int, living: Collection[int]) -> int:
        owner = int(self.owner_of[query])
        if owner not in living:
            self._turn += 1
            owner = sorted(living)[self._turn % len(living)]
            self.owner_of[query] = owner
        return owner

    def _look(self) -> None:
        self.next_s = min((heap[0] for heap in (self._orphans_s(), self._clients) if heap), default=inf)

    def _orphans_s(self) -> list[float]:
        return [self._orphans[0][0]] if self._orphans else []
