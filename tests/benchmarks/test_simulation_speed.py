"""Microseconds of processor time a simulated query, from 10 to 10,000 base instances, beside a plain heap loop.

Run with::

    pytest tests/benchmarks/test_simulation_speed.py --benchmark-enable -s

The plain loop keeps when each server is free in a heap and does nothing else: no policy, no records. It tells how fast
the machine is at the moment, so each simulation is between two runs of it, and how many times the plain loop's time it
takes is kept with the benchmark (``extra_info``). Nothing is asserted about time.
"""

import heapq
import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.disturbances import Exponential
from parity_exp.policies import Adaptive, Hedged, NoRedundancy, Parity, SharedParity
from parity_exp.policies.policy import Policy
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.simulation import ServiceTimes, simulate

QUERIES = 200_000
SERVICE_S = 0.02
UTILISATION = 0.6


def arrivals_s(instances: int) -> np.ndarray:
    gaps_s = np.random.default_rng(0).exponential(SERVICE_S / UTILISATION / instances, QUERIES)
    return np.cumsum(gaps_s)


def plain_heap(instances: int) -> float:
    """Processor time of the plain loop, in microseconds a query."""
    due_s = arrivals_s(instances).tolist()
    service_s = np.random.default_rng(1).exponential(SERVICE_S, QUERIES).tolist()
    free_s = [0.0] * instances
    began = time.process_time()
    latencies_s = []
    for at_s, takes_s in zip(due_s, service_s, strict=True):
        done_s = max(at_s, heapq.heappop(free_s)) + takes_s
        heapq.heappush(free_s, done_s)
        latencies_s.append(done_s - at_s)
    assert len(latencies_s) == QUERIES
    return (time.process_time() - began) / QUERIES * 1e6


@pytest.mark.benchmark(group="simulated queries")
@pytest.mark.parametrize("instances", [10, 100, 1_000, 10_000])
@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
@pytest.mark.parametrize("policy", [NoRedundancy, Hedged, Parity, SharedParity, Adaptive])
def test_a_simulated_query(
    benchmark: BenchmarkFixture, policy: type[Policy], queues: type[Queues], instances: int
) -> None:
    if benchmark.disabled:
        pytest.skip("simulates millions of queries; enable with --benchmark-enable")
    due_s = arrivals_s(instances)
    spent_us: list[float] = []

    def run() -> int:
        service = ServiceTimes({"base": Exponential(SERVICE_S), "parity-0": Exponential(SERVICE_S)})
        began = time.process_time()
        outcome = simulate(policy(2, 1), due_s, service, instances, queues=queues)
        spent_us.append((time.process_time() - began) / QUERIES * 1e6)
        return outcome.lost

    plain_us = plain_heap(instances)
    assert benchmark.pedantic(run, rounds=1) == 0
    plain_us = (plain_us + plain_heap(instances)) / 2
    name = f"{policy.__name__}, {queues.__name__}"
    benchmark.extra_info |= {
        "us a query": spent_us[-1],
        "us a query of a plain heap": plain_us,
        "times a plain heap": spent_us[-1] / plain_us,
    }
    print(
        f"\n{name:<26} {instances:>6} instances: {spent_us[-1]:6.1f} us; plain heap {plain_us:.2f} us, "
        f"{spent_us[-1] / plain_us:.0f} times that"
    )
