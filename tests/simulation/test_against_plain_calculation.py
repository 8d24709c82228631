"""The simulator gives the completion times of a plain, slow calculation that shares no code with it."""

import random
from collections import Counter
from itertools import accumulate
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.disturbances.trace import KILL, SLOW, Disturbance, timelines
from parity_exp.policies import EqualResources, Hedged, NoRedundancy, Parity, Replication
from parity_exp.policies.policy import SOURCES, Policy, Work
from parity_exp.policies.queues import RoundRobin, SingleQueue
from parity_exp.simulation import simulate
from tests.simulation.plain_cluster import Plain, Slow

MEAN_S = 0.1


class Seconds:
    """How long the model of a row takes for a query or group at each attempt: drawn when first asked for, then kept."""

    def __init__(self, seed: int, spread: float) -> None:
        self.seed = seed
        self.spread = spread

    def __call__(self, row: int, number: int, attempt: int) -> float:
        draw = random.Random(f"{self.seed} {row} {number} {attempt}")
        return MEAN_S * (1 - self.spread + self.spread * draw.expovariate(1)) + 1e-6 * draw.random()


def simulated(policy: Policy, plain: Plain) -> tuple[np.ndarray, list[str]]:
    """What the product says about a plain scenario."""
    trace = [
        Disturbance(SLOW, instance, begin_s, end_s, factor, extra_s * 1000)
        for instance, begin_s, end_s, factor, extra_s in plain.slow
    ]
    trace += [Disturbance(KILL, instance, time_s, time_s) for time_s, instance in plain.kills]
    delays = timelines(trace, plain.base + plain.parity)
    attempts: Counter[tuple[int, int]] = Counter()

    def service(task: Work, begin_s: float) -> float:
        if task.batch is not None:
            key = (-1, task.batch.queries[0])
        else:
            assert task.group is not None
            key = (task.row, task.group.number)
        factor, extra_s = delays[task.instance].at(begin_s)
        time_s = plain.seconds(*key, attempts[key]) * factor + extra_s
        attempts[key] += 1
        return time_s

    base = plain.base // plain.copies
    if isinstance(policy, EqualResources):
        base = next(m for m in range(1, 99) if m + policy.extra_instances(m) == plain.base)
    outcome = simulate(
        policy,
        plain.arrivals_s,
        service,
        base,
        trace=trace,
        restart_s=lambda _instance, _time: plain.restart_s,
        there_s=(lambda _: plain.there_s) if plain.there_s else None,
        back_s=(lambda _: plain.back_s) if plain.back_s else None,
        queues=RoundRobin if plain.in_turn else SingleQueue,
        slo_s=1e6 if plain.deadline_s == inf else plain.deadline_s,
    )
    assert outcome.duplicates == outcome.lost == 0
    assert outcome.instances == plain.base + plain.parity
    return outcome.completed_s, [SOURCES[source] for source in outcome.source]


def agree(policy: Policy, plain: Plain) -> list[str]:
    expected_s, expected_sources = plain.run()
    completed_s, sources = simulated(policy, plain)
    assert sources == expected_sources
    assert completed_s == pytest.approx(np.array(expected_s), abs=1e-9)
    return sources


@st.composite
def settings_of(draw: st.DrawFn, most_servers: int) -> dict[str, object]:
    """What all scenarios have in common, for up to so many instances."""
    seed = draw(st.integers(0, 10**6))
    queries = draw(st.integers(1, 40))
    load = draw(st.floats(0.2, 2.0))
    dice = random.Random(seed)
    arrivals_s = list(accumulate(dice.expovariate(load * most_servers / MEAN_S) for _ in range(queries)))
    until_s = arrivals_s[-1] + 1
    slow: list[Slow] = []
    for _ in range(draw(st.integers(0, 4))):
        begin_s = dice.uniform(0, until_s)
        end_s = begin_s + dice.uniform(0, 1)
        slow.append((dice.randrange(most_servers), begin_s, end_s, dice.uniform(1, 4), dice.uniform(0, 0.3)))
    return {
        "arrivals_s": arrivals_s,
        "seconds": Seconds(seed, draw(st.sampled_from([0.05, 0.5, 1.0]))),
        "slow": slow,
        "there_s": draw(st.sampled_from([0.0, 0.0123])),
        "back_s": draw(st.sampled_from([0.0, 0.0457])),
        "deadline_s": draw(st.sampled_from([inf, 0.9871, 0.2345])),
        "kills": [(dice.uniform(0, until_s), dice.randrange(most_servers)) for _ in range(draw(st.integers(0, 3)))],
        "restart_s": draw(st.sampled_from([0.0711, 0.731])),
    }


@given(servers=st.integers(1, 5), data=st.data())
@settings(max_examples=150, deadline=None)
def test_without_redundancy(servers: int, data: st.DataObject) -> None:
    agree(NoRedundancy(2, 1), Plain(base=servers, **data.draw(settings_of(servers))))  # type: ignore[arg-type]


@given(base=st.integers(1, 3), data=st.data())
@settings(max_examples=150, deadline=None)
def test_replication(base: int, data: st.DataObject) -> None:
    agree(Replication(2, 1), Plain(base=2 * base, copies=2, **data.draw(settings_of(2 * base))))  # type: ignore[arg-type]


@given(base=st.integers(1, 4), delay_s=st.sampled_from([0.0503, 0.1507, 0.4011]), data=st.data())
@settings(max_examples=200, deadline=None)
def test_hedging(base: int, delay_s: float, data: st.DataObject) -> None:
    policy = Hedged(2, 1, delay_ms=delay_s * 1000, urgent=False)
    servers = base + policy.extra_instances(base)
    agree(policy, Plain(base=servers, hedge_s=delay_s, **data.draw(settings_of(servers))))  # type: ignore[arg-type]


@given(k=st.integers(2, 4), r=st.integers(1, 3), base=st.integers(1, 4), data=st.data())
@settings(max_examples=300, deadline=None)
def test_parity(k: int, r: int, base: int, data: st.DataObject) -> None:
    policy = Parity(k, r)
    extra = policy.extra_instances(base)
    agree(policy, Plain(base=base, parity=extra, k=k, r=r, **data.draw(settings_of(base + extra))))  # type: ignore[arg-type]


@given(base=st.integers(1, 4), copies=st.integers(1, 2), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_queue_an_instance(base: int, copies: int, data: st.DataObject) -> None:
    policy = NoRedundancy(2, 1) if copies == 1 else Replication(2, 1)
    scenario = data.draw(settings_of(base * copies)) | {"kills": []}
    agree(policy, Plain(base=base * copies, copies=copies, in_turn=True, **scenario))  # type: ignore[arg-type]


def test_a_long_scenario_has_all_sources_of_answers() -> None:
    """The properties above are about something: this one sees reconstructions, defaults, kills and slowdowns."""
    dice = random.Random(3)
    arrivals_s = list(accumulate(dice.expovariate(1.0 * 4 / MEAN_S) for _ in range(600)))
    sources = agree(
        Parity(2, 1),
        Plain(
            arrivals_s, Seconds(3, 0.5), base=4, parity=2, k=2, r=1, deadline_s=0.4, there_s=0.001, back_s=0.002,
            slow=[(1, 1.0, 5.0, 6.0, 0.2), (4, 3.0, 4.0, 2.0, 0.0)],
            kills=[(2.0, 0), (3.5, 3), (3.9, 5)], restart_s=0.4,
        ),
    )  # fmt: skip
    assert min(Counter(sources)[source] for source in ("own", "reconstructed", "default")) >= 5
