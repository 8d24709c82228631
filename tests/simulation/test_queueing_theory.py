"""Without redundancy and with exponential times, the simulation is the M/M/m queue."""

from math import exp, factorial, log

import numpy as np
import pytest

from parity_exp.disturbances import Exponential
from parity_exp.policies import NoRedundancy
from parity_exp.simulation import ServiceTimes, simulate
from tests.slow_cases import slow_but

SERVICE_S = 0.02


def erlang_c(servers: int, erlangs: float) -> float:
    """Probability that a query has to wait (Erlang's C formula)."""
    full = erlangs**servers / factorial(servers) * servers / (servers - erlangs)
    return full / (sum(erlangs**n / factorial(n) for n in range(servers)) + full)


def late(latency_s: float, servers: int, erlangs: float) -> float:
    """Probability that a query takes longer: its exponential service, after an exponential wait if it has to."""
    mu, eta, waits = 1 / SERVICE_S, (servers - erlangs) / SERVICE_S, erlang_c(servers, erlangs)
    both = (eta * exp(-mu * latency_s) - mu * exp(-eta * latency_s)) / (eta - mu)
    return (1 - waits) * exp(-mu * latency_s) + waits * both


def latency_p99_s(servers: int, erlangs: float) -> float:
    low, high = 0.0, 100 * SERVICE_S
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if late(middle, servers, erlangs) > 0.01 else (low, middle)
    return low


@pytest.mark.parametrize(("servers", "utilisation"), slow_but([(4, 0.7)], [(1, 0.5), (4, 0.7), (12, 0.8)]))
def test_waits_and_latencies_are_those_of_erlang(servers: int, utilisation: float) -> None:
    # Of runs as long as this one the mean wait has a standard deviation of some 3 %.
    erlangs = utilisation * servers
    arrivals_s = np.cumsum(np.random.default_rng(11).exponential(SERVICE_S / erlangs, 400_000))
    outcome = simulate(NoRedundancy(2, 1), arrivals_s, ServiceTimes({"base": Exponential(SERVICE_S)}, seed=12), servers)
    tasks = outcome.tasks().sort_values("batch")
    wait_s = tasks["started_s"].to_numpy() - outcome.scheduled_s
    free = (servers - erlangs) / SERVICE_S
    assert wait_s.mean() == pytest.approx(erlang_c(servers, erlangs) / free, rel=0.05)
    assert np.quantile(wait_s, 0.99) == pytest.approx(log(erlang_c(servers, erlangs) / 0.01) / free, rel=0.05)
    assert np.quantile(outcome.latency_ms, 0.99) == pytest.approx(1000 * latency_p99_s(servers, erlangs), rel=0.05)
    assert outcome.costs()["busy"] == pytest.approx(utilisation, rel=0.01)
