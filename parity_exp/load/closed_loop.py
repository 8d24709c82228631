"""Clients that wait for their answers: the load under which a system shows its greatest throughput."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from parity_exp.load.load import Load
from parity_exp.ranges import AnyQueries, Delay, Positive, Queries


class ClosedLoop(Load):
    """A number of clients, each of which sends its next query some time after its last one was answered.

    Latency under this load says nothing about the tail: a client that waits sends nothing meanwhile.

    Args:
        queries: how many are measured, of all clients.
        warmup: how many come before them and are left out of the results.
        clients: how many there are.
        think_ms: how long a client waits after an answer.
        slo_ms: how long after it was sent a query gets the default prediction; None: never.
    """

    open_loop = False

    def __init__(
        self,
        queries: Queries,
        warmup: AnyQueries = 0,
        clients: Annotated[int, Ge(1), Le(10**6)] = 16,
        think_ms: Delay = 0.0,
        slo_ms: Positive | None = None,
    ) -> None:
        super().__init__(queries, warmup, slo_ms)
        self.clients = clients
        self.think_ms = float(think_ms)
        self.think_s = think_ms / 1e3

    def rate(self, service_s: float, base_instances: int) -> float:
        """The most that clients and base instances allow."""
        return min(base_instances / service_s, self.clients / (service_s + self.think_ms / 1000))

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        """Only what is known ahead, ``(min(clients, warmup + queries),)``: each client's first query, at 0."""
        return np.zeros(min(self.clients, self.total))
