"""Long runs in simulated time: nothing is lost, nothing piles up, and queues are what queueing theory says."""

import gc
import heapq
import random
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.disturbances.trace import KILL, Disturbance
from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    Coded,
    EqualResources,
    Hedged,
    NoRedundancy,
    Parity,
    Replication,
    SharedParity,
)
from parity_exp.policies.policy import AnswerSource, Policy, Work
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.simulation import Outcome, Service, simulate
from tests.policies.desk_driver import alive

SERVICE_S = 0.02
BASE = 4


def one_more(k: int, r: int) -> Policy:
    """A group of k queries as k + r coded ones, any k of whose answers tell all."""
    return Coded(k, r, range(k + r), k)


POLICIES: dict[str, Callable[[int, int], Policy]] = {
    "none": NoRedundancy,
    "equal_resources": EqualResources,
    "replication": Replication,
    "hedged": Hedged,
    "approximate_backup": ApproximateBackup,
    "coded": one_more,
    "parity": Parity,
    "shared_parity": SharedParity,
    "adaptive": Adaptive,
}

WRONG = {AnswerSource.DEFAULT, AnswerSource.ERROR}


def poisson(count: int, rate_qps: float, seed: int = 0) -> list[float]:
    """Arrival times in seconds."""
    draw = random.Random(seed)
    return list(accumulate(draw.expovariate(rate_qps) for _ in range(count)))


def straggling(seed: int, probability: float = 0.03) -> Service:
    """About 20 ms, the small model a quarter of it; now and then 150 ms more."""
    draw = random.Random(seed)

    def service(task: Work, begin_s: float) -> float:
        late_s = draw.expovariate(1 / 0.15) if draw.random() < probability else 0.0
        return (SERVICE_S / 4 if task.model == "backup" else SERVICE_S) * (1 + 0.05 * draw.expovariate(1)) + late_s

    return service


def kills(until_s: float, instances: int, every_s: float = 1.0, seed: int = 1) -> list[Disturbance]:
    """An instance is killed at regular times, any of them."""
    draw = random.Random(seed)
    times_s = [turn * every_s for turn in range(1, int(until_s / every_s) + 1)]
    return [Disturbance(KILL, draw.randrange(instances), time_s, time_s) for time_s in times_s]


def killed_every_second(policy: Policy, queries: int, utilisation: float, **options: object) -> Outcome:
    arrivals_s = poisson(queries, utilisation * BASE / SERVICE_S)
    instances = sum(role.instances for role in policy.roles(BASE))
    trace = kills(arrivals_s[-1], instances)
    return simulate(
        policy, arrivals_s, straggling(3), BASE, trace=trace, restart_s=lambda _instance, _time: 0.3, **options
    )  # type: ignore[arg-type]


def everybody_was_answered_once(outcome: Outcome) -> bool:
    return outcome.lost == outcome.duplicates == 0 and bool((outcome.source >= 0).all())


# ---- nothing is lost


@pytest.mark.parametrize(("k", "r"), [(2, 1), (4, 2)])
@pytest.mark.parametrize("name", POLICIES)
def test_with_an_instance_killed_every_second_no_query_is_lost_or_answered_twice(name: str, k: int, r: int) -> None:
    queries = 5_000
    outcome = killed_every_second(POLICIES[name](k, r), queries, utilisation=0.6)
    assert everybody_was_answered_once(outcome)
    assert not WRONG & set(outcome.source.tolist())
    assert (outcome.tasks()["outcome"] == "lost").any(), "instances died with tasks"


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
@pytest.mark.parametrize("name", POLICIES)
def test_no_query_is_lost_with_batches_prefetch_and_a_model_that_raises(name: str, queues: type[Queues]) -> None:
    draw = random.Random(5)
    outcome = killed_every_second(
        POLICIES[name](3, 2), 4_000, 0.9, queues=queues, batch_size=3, window_s=0.01, prefetch=2,
        raises=lambda _: draw.random() < 0.05, slo_s=1.0,
    )  # fmt: skip
    assert everybody_was_answered_once(outcome)
    usual = AnswerSource.RECONSTRUCTED if name == "coded" else AnswerSource.OWN
    assert (outcome.source == usual).sum() > 3_000


@pytest.mark.parametrize("name", ["parity", "shared_parity"])
def test_the_code_answers_what_the_base_model_cannot(name: str) -> None:
    arrivals_s = poisson(4_000, 0.3 * BASE / SERVICE_S)
    outcome = simulate(
        POLICIES[name](2, 1), arrivals_s, straggling(3, 0), BASE,
        raises=lambda task: task.batch is not None and task.batch.queries[0] % 50 == 7, slo_s=1.0,
    )  # fmt: skip
    sources = [outcome.source[query] for query in range(7, 4_000, 50)]
    assert set(sources) <= {AnswerSource.RECONSTRUCTED, AnswerSource.ERROR}
    assert sources.count(AnswerSource.RECONSTRUCTED) >= (len(sources) if name == "parity" else len(sources) / 2)


# ---- nothing piles up


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.one_of_many
def test_memory_does_not_grow_with_the_number_of_queries(name: str, queues: type[Queues]) -> None:
    """Under kills and twice the load that the base instances can carry, with the garbage collector off."""
    queries, slo_s = 6_000, 0.2
    seen: list[int] = []
    tasks = 0
    usual = straggling(3)

    def service(task: Work, begin_s: float) -> float:
        nonlocal tasks
        tasks += 1
        if tasks % 250 == 0:
            seen.append(alive())
        return usual(task, begin_s)

    arrivals_s = poisson(queries, 2 * BASE / SERVICE_S)
    policy = POLICIES[name](2, 1)
    instances = sum(role.instances for role in policy.roles(BASE))
    gc.collect()
    gc.disable()
    try:
        before = alive()
        simulate(
            policy, arrivals_s, service, BASE, queues=queues, slo_s=slo_s, trace=kills(arrivals_s[-1], instances, 0.3)
        )
        in_flight = slo_s * 2 * BASE / SERVICE_S  # queries that may wait at a time: 80
        assert len(seen) > 5
        assert max(seen) - before < 8 * in_flight
    finally:
        gc.enable()


# ---- queueing theory


def first_in_first_out(arrivals_s: Sequence[float], service_s: Callable[[int], float], servers: int) -> list[float]:
    """Latencies in a queue with several servers: each query takes the server that is free first."""
    free_s = [0.0] * servers
    latency_s = []
    for query, arrived_s in enumerate(arrivals_s):
        done_s = max(heapq.heappop(free_s), arrived_s) + service_s(query)
        heapq.heappush(free_s, done_s)
        latency_s.append(done_s - arrived_s)
    return latency_s


def in_turn(arrivals_s: Sequence[float], service_s: Callable[[int], float], servers: int) -> list[float]:
    """Latencies where query i goes to server i modulo their number, and waits there."""
    free_s = [0.0] * servers
    latency_s = []
    for query, arrived_s in enumerate(arrivals_s):
        server = query % servers
        free_s[server] = max(free_s[server], arrived_s) + service_s(query)
        latency_s.append(free_s[server] - arrived_s)
    return latency_s


gaps_s = st.lists(st.floats(0, 0.1), min_size=1, max_size=60)


@given(
    gaps_s=gaps_s,
    services_s=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=20),
    base_instances=st.integers(1, 5),
    policy=st.sampled_from([NoRedundancy, EqualResources]),
    queues=st.sampled_from([SingleQueue, RoundRobin]),
    prefetch=st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_without_redundancy_latencies_are_those_of_plain_queues(
    gaps_s: list[float],
    services_s: list[float],
    base_instances: int,
    policy: type[Policy],
    queues: type[Queues],
    prefetch: int,
) -> None:
    arrivals_s = list(accumulate(gaps_s))

    def service_s(query: int) -> float:
        return services_s[query % len(services_s)]

    def service(task: Work, begin_s: float) -> float:
        assert task.batch is not None
        return service_s(task.batch.queries[0])

    made = policy(2, 1)
    (role,) = made.roles(base_instances)
    if queues is SingleQueue:
        prefetch = 1  # with more, a query may wait at an instance for longer than it would in the queue
    outcome = simulate(made, arrivals_s, service, base_instances, queues=queues, prefetch=prefetch)
    plain = first_in_first_out if queues is SingleQueue else in_turn
    assert outcome.latency_ms / 1000 == pytest.approx(np.array(plain(arrivals_s, service_s, role.instances)))


@pytest.mark.parametrize("policy", [NoRedundancy, EqualResources])
def test_at_length_and_under_slowdowns_latencies_are_those_of_a_plain_queue(policy: type[Policy]) -> None:
    """Slowdowns strike times and not instances here, so that they do not depend on who serves a query."""
    arrivals_s = poisson(5_000, 0.7 * BASE / SERVICE_S)
    draw = random.Random(2)
    services_s = [SERVICE_S * (1 + 0.05 * draw.expovariate(1)) for _ in arrivals_s]

    def slowdown(now_s: float) -> float:
        return 3.0 if now_s % 1.0 < 0.1 else 1.0

    def service(task: Work, begin_s: float) -> float:
        assert task.batch is not None
        return services_s[task.batch.queries[0]] * slowdown(begin_s)

    made = policy(2, 1)
    (role,) = made.roles(BASE)
    free_s = [0.0] * role.instances
    expected_s = []
    for query, arrived_s in enumerate(arrivals_s):
        begun_s = max(heapq.heappop(free_s), arrived_s)
        done_s = begun_s + services_s[query] * slowdown(begun_s)
        heapq.heappush(free_s, done_s)
        expected_s.append(done_s - arrived_s)
    outcome = simulate(made, arrivals_s, service, BASE)
    assert outcome.latency_ms / 1000 == pytest.approx(np.array(expected_s))


def test_an_instance_that_is_slow_for_good_takes_fewer_queries_from_a_single_queue() -> None:
    """The plain queue with servers of different speed: the server that has been free for longest takes the next."""
    arrivals_s = poisson(3_000, 0.6 * BASE / SERVICE_S)
    factor = [4.0, 1.0, 1.0, 1.0]
    outcome = simulate(NoRedundancy(2, 1), arrivals_s, lambda task, _: SERVICE_S * factor[task.instance], BASE)
    free_s = [(0.0, server) for server in range(BASE)]
    expected_s = []
    for arrived_s in arrivals_s:
        since_s, server = min(free_s)
        free_s.remove((since_s, server))
        done_s = max(since_s, arrived_s) + SERVICE_S * factor[server]
        free_s.append((done_s, server))
        expected_s.append(done_s - arrived_s)
    assert outcome.latency_ms / 1000 == pytest.approx(np.array(expected_s))
    assert (outcome.tasks()["instance"] == 0).sum() < 3_000 / 6


@pytest.mark.slow
def test_redundancy_shortens_the_tail_that_stragglers_make() -> None:
    arrivals_s = poisson(10_000, 0.4 * BASE / SERVICE_S)
    tail_ms = {
        name: np.quantile(simulate(POLICIES[name](2, 1), arrivals_s, straggling(3), BASE).latency_ms, 0.99)
        for name in POLICIES
    }
    for name in ("replication", "hedged", "approximate_backup", "coded", "parity", "shared_parity"):
        assert tail_ms[name] < tail_ms["equal_resources"] / 2
    assert tail_ms["equal_resources"] <= tail_ms["none"]
