"""LAEDGE against a plain simulation of its own: a list of servers, a queue, and a loop over what happens next."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np
import pytest

from parity_exp.policies import Laedge
from parity_exp.policies.policy import Work
from parity_exp.simulation.cluster import simulate

SERVERS = 6


def plain(arrivals_s: list[float], times_s: np.ndarray) -> list[float]:
    """Latencies: a query goes to two idle servers, or to one, or waits until one is idle and is sent once."""
    idle, waiting, events = SERVERS, deque[int](), list[tuple[float, int]]()
    answered_s = [float("inf")] * len(arrivals_s)
    pending = deque(enumerate(arrivals_s))
    while pending or events:
        if pending and (not events or pending[0][1] <= events[0][0]):
            query, now_s = pending.popleft()
            copies = min(idle, 2)
            for copy in range(copies):
                heappush(events, (now_s + times_s[query, copy], query))
            idle -= copies
            if not copies:
                waiting.append(query)
        else:
            now_s, query = heappop(events)
            answered_s[query] = min(answered_s[query], now_s)
            if waiting:
                following = waiting.popleft()
                heappush(events, (now_s + times_s[following, 0], following))
            else:
                idle += 1
    return [done_s - arrival_s for done_s, arrival_s in zip(answered_s, arrivals_s, strict=True)]


def by_copy(times_s: np.ndarray) -> Callable[[Work, float], float]:
    seen = [0] * len(times_s)

    def service(work: Work, begin_s: float) -> float:
        assert work.batch is not None
        (query,) = work.batch.queries
        seen[query] += 1
        return float(times_s[query, seen[query] - 1])

    return service


@pytest.mark.parametrize("load", [0.2, 0.5, 0.7, 0.95])
def test_it_does_what_a_plain_simulation_does(load: float) -> None:
    random = np.random.default_rng(round(100 * load))
    queries = 4_000
    arrivals_s = np.cumsum(random.exponential(1 / (load * SERVERS), queries)).tolist()
    times_s = random.pareto(3.0, (queries, 2)) + 0.5
    outcome = simulate(Laedge(2, 1), arrivals_s, by_copy(times_s), 4)  # and two more
    assert outcome.instances == SERVERS
    assert outcome.latency_ms / 1e3 == pytest.approx(plain(arrivals_s, times_s))
