"""Queue disciplines do what textbooks and plain simulations say, with one frontend and with several."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from parity_exp.disturbances import Exponential
from parity_exp.policies import NoRedundancy, Replication
from parity_exp.policies.policy import Role
from parity_exp.policies.queues import (
    C3,
    JoinIdleQueue,
    LeastOutstanding,
    PowerOfD,
    Prequal,
    Queues,
    RandomChoice,
    RoundRobin,
    SingleQueue,
)
from parity_exp.simulation import DrawnAhead, ServiceTimes, simulate
from tests.simulation.plain_balancing import Plain, Rule
from tests.slow_cases import slow_but

MEAN_S = 0.02
PROBE_S = 0.001


def latencies_s(
    queues: Callable[..., Queues], instances: int, load: float, queries: int, frontends: int = 1, seed: int = 0
) -> np.ndarray:
    """Of the product, with work that goes to its instance at once, so that each serves in the order of arrival."""
    random = np.random.default_rng(seed)
    outcome = simulate(
        [NoRedundancy(2, 1) for _ in range(frontends)],
        np.cumsum(random.exponential(MEAN_S / load / instances, queries)),
        ServiceTimes({"base": Exponential(MEAN_S)}, seed=seed),
        instances,
        queues=queues,
        prefetch=10**6,
        seed=seed,
        frontend_of=random.integers(frontends, size=queries),
    )
    assert outcome.lost == outcome.duplicates == 0
    return outcome.latency_ms / 1e3


def plain_latencies_s(
    rule: Callable[[Plain], Rule], instances: int, load: float, queries: int, frontends: int = 1, seed: int = 0
) -> np.ndarray:
    """The same arrivals and service times under a plain rule."""
    random = np.random.default_rng(seed)
    arrivals_s = np.cumsum(random.exponential(MEAN_S / load / instances, queries)).tolist()
    frontend_of = random.integers(frontends, size=queries).tolist()
    drawn = DrawnAhead(Exponential(MEAN_S), [seed, *b"service base"])
    services_s = [drawn.at(query) for query in range(queries)]
    plain = Plain(instances, frontends, seed)
    return np.array(plain.latencies_s(arrivals_s, services_s, frontend_of, rule(plain)))


def test_at_random_each_instance_is_an_m_m_1_queue() -> None:
    found_s = latencies_s(RandomChoice, 20, 0.6, 60_000)
    assert found_s.mean() == pytest.approx(MEAN_S / (1 - 0.6), rel=0.05)
    assert np.quantile(found_s, 0.99) == pytest.approx(MEAN_S / (1 - 0.6) * np.log(100), rel=0.07)


@pytest.mark.parametrize("d", slow_but([2], [2, 3, 5]))
def test_the_power_of_d_choices_comes_to_its_formula(d: int) -> None:
    load = 0.8
    found_s = latencies_s(partial(PowerOfD, d=d), 200, load, 60_000)[10_000:]
    expected = sum(load ** ((d**i - d) / (d - 1)) for i in range(1, 20))
    assert found_s.mean() / MEAN_S == pytest.approx(expected, rel=0.03)


RULES: dict[str, tuple[Callable[..., Queues], Callable[[Plain], Rule]]] = {
    "power_of_d": (partial(PowerOfD, told_ms=0), lambda plain: plain.shortest_of(2)),
    "least_outstanding": (partial(LeastOutstanding, told_ms=0), lambda plain: plain.shortest),
    "join_idle_queue": (JoinIdleQueue, Plain.idle_first),
    "prequal": (partial(Prequal, probe_ms=1), lambda plain: plain.prequal(0.84, PROBE_S)),
    "prequal_rif": (partial(Prequal, probe_ms=1, q_rif=0.0), lambda plain: plain.prequal(0.0, PROBE_S)),
    "c3": (C3, Plain.cubic),
}


FOR_SEVERAL = ("power_of_d", "least_outstanding", "join_idle_queue", "c3")
"""Those of which four frontends are compared: plain Prequal has one."""


@pytest.mark.parametrize(
    ("name", "frontends"),
    slow_but(
        [("power_of_d", 1), ("prequal", 1)],
        [(name, 1) for name in RULES] + [(name, 4) for name in RULES if name in FOR_SEVERAL],
    ),
)
def test_a_discipline_comes_to_what_a_plain_simulation_does(name: str, frontends: int) -> None:
    queues, rule = RULES[name]
    # What comes first hangs on single service times, where nothing is known of an instance but one.
    found_s = latencies_s(queues, 50, 0.75, 25_000, frontends, 1)[5_000:]
    plain_s = plain_latencies_s(rule, 50, 0.75, 25_000, frontends, 1)[5_000:]
    assert found_s.mean() == pytest.approx(plain_s.mean(), rel=0.06)
    assert np.quantile(found_s, 0.99) == pytest.approx(np.quantile(plain_s, 0.99), rel=0.1)
    assert np.quantile(found_s, 0.5) == pytest.approx(np.quantile(plain_s, 0.5), rel=0.06)


def test_who_knows_more_is_quicker_and_who_knows_it_late_is_slower() -> None:
    means_s = {
        name: latencies_s(queues, 20, 0.8, 10_000, frontends).mean()
        for name, queues, frontends in [
            ("one", SingleQueue, 1), ("shortest", LeastOutstanding, 1), ("two", PowerOfD, 1), ("any", RandomChoice, 1),
            ("stale", partial(LeastOutstanding, told_ms=0), 4), ("told", LeastOutstanding, 4),
        ]
    }  # fmt: skip
    assert means_s["one"] < 1.02 * means_s["shortest"] < 1.02 * means_s["told"] < means_s["stale"] < means_s["any"]
    assert means_s["shortest"] < means_s["two"] < means_s["any"]


def test_what_an_instance_has_stopped_at_is_no_longer_its_work() -> None:
    made: list[LeastOutstanding] = []

    def queues(role: Role, first: int, prefetch: int) -> Queues:
        made.append(LeastOutstanding(role, first, prefetch))
        return made[-1]

    arrivals_s = np.arange(400) * MEAN_S / 4
    service = ServiceTimes({"base": Exponential(MEAN_S)})
    outcome = simulate(Replication(2, 1), arrivals_s, service, 4, queues=queues, interrupt_s=0.0)
    assert outcome.lost == 0
    assert min(made[0].own.values()) >= 0 and sum(made[0].own.values()) <= 8


@pytest.mark.parametrize("queues", [RandomChoice, PowerOfD, LeastOutstanding, JoinIdleQueue, Prequal, C3, RoundRobin])
def test_results_follow_from_the_seed(queues: Callable[..., Queues]) -> None:
    first, same, other = (latencies_s(queues, 6, 0.7, 400, 2, seed) for seed in (1, 1, 2))
    assert (first == same).all() and (first != other).any()
