"""What all policies keep to, whatever instances and time do to them, and the instances that they ask for."""

import gc
from typing import Any

import pytest

from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    CheckedParity,
    CheckedSharedParity,
    Duplicates,
    EqualResources,
    Hedged,
    Laedge,
    NoRedundancy,
    Parity,
    Reissue,
    Replication,
    SharedParity,
    Tied,
    VotedParity,
    VotedReplication,
)
from parity_exp.policies.policy import TRIES, AnswerSource, Policy
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
from tests.policies.desk_driver import Driver, alive
from tests.slow_cases import slow_but

QUEUES = [SingleQueue, RoundRobin, RandomChoice, LeastOutstanding, PowerOfD, JoinIdleQueue, Prequal, C3]

OWN, DEFAULT, ERROR = AnswerSource.OWN, AnswerSource.DEFAULT, AnswerSource.ERROR


def every_policy(k: int = 2, r: int = 1) -> list[Policy]:
    return [
        NoRedundancy(k, r),
        EqualResources(k, r),
        Replication(k, r),
        Replication(k, r, equal_resources=True),
        Hedged(k, r, delay_ms=30),
        Hedged(k, r, delay_ms=30, max_extra=0.1, tokens=10),
        Reissue(k, r),
        Tied(k, r),
        Tied(k, r, delay_ms=0),
        Laedge(k, r),
        Duplicates(k, r),
        ApproximateBackup(k, r, delay_ms=30),
        ApproximateBackup(k, r, delay_ms=30, multiplexed=True, fill_ms=5),
        Parity(k, r),
        SharedParity(k, r, delay_ms=30),
        Adaptive(k, r, delay_ms=30),
        Adaptive(k, r, delay_ms=30, copy_limit=0),
        Adaptive(k, r, delay_ms=30, copy_limit=10, load_limit=10, copies_wait=False),
        Adaptive(k, r, delay_ms=30, copies_all=False, load_limit=10, skips_rare=False, parity_apart=True),
        Adaptive(k, r, delay_ms=30, copies_all=False, hedges=False, rests=False, skips_rare=False),
        Parity(k, r, wait_exact_ms=5),
        SharedParity(k, r, delay_ms=30, wait_exact_ms=5, sends_parity=False, offers_early=False),
        CheckedParity(k, r),
        CheckedSharedParity(k, r, delay_ms=30),
        VotedParity(k, r + 1),
        VotedReplication(k, r),
    ]


POLICIES = [pytest.param(index, id=type(policy).__name__) for index, policy in enumerate(every_policy())]
PROMPT = POLICIES[:-2]
"""Those that answer as soon as they can."""


# ---- events


@pytest.mark.parametrize("index", PROMPT)
@pytest.mark.parametrize("queues", slow_but([SingleQueue, RoundRobin], QUEUES))
@pytest.mark.parametrize("batch_size", [1, 3])
def test_queries_get_their_own_predictions_when_nothing_goes_wrong(
    index: int, queues: type[Queues], batch_size: int
) -> None:
    driver = Driver(every_policy()[index], 2, queues=queues, batch_size=batch_size)
    for _ in range(20):
        queries = driver.arrive(batch_size)
        driver.finish(driver.tasks_of(queries[0])[0])
        assert driver.sources(queries) == [OWN] * batch_size
        for task in driver.on_instances():
            driver.finish(task)


@pytest.mark.parametrize("index", POLICIES)
@pytest.mark.parametrize("queues", slow_but([SingleQueue, RoundRobin], QUEUES))
def test_the_loss_of_all_instances_loses_no_query(index: int, queues: type[Queues]) -> None:
    driver = Driver(every_policy()[index], 2, queues=queues)
    driver.arrive(12)
    everyone = range(len(driver.running))
    for _ in range(TRIES - 1):
        driver.kill(*everyone)
        driver.up(*everyone)
    while driver.on_instances():
        driver.finish(driver.on_instances()[0])
    assert not {DEFAULT, ERROR, None} & set(driver.sources(range(12)))


@pytest.mark.parametrize("index", POLICIES)
def test_after_the_deadline_queued_work_is_spared_and_late_answers_are_not_given(index: int) -> None:
    driver = Driver(every_policy()[index], 2, slo_s=0.02)
    driver.arrive(12)
    driver.until(0.02)
    assert driver.sources(range(12)) == [DEFAULT] * 12
    late = driver.on_instances()
    for task in late:
        driver.finish(task)
    assert [task for task in driver.on_instances() if task.batch is not None] == []
    for _ in range(TRIES):
        for task in driver.on_instances():
            driver.fail(task)
    assert driver.on_instances() == []
    assert len(driver.responses) == 12


@pytest.mark.parametrize("index", POLICIES)
def test_what_fails_after_the_deadline_is_not_sent_again(index: int) -> None:
    driver = Driver(every_policy()[index], 2, slo_s=0.02)
    driver.arrive(2)
    driver.until(0.02)
    placed = len(driver.placed)
    for task in driver.on_instances():
        driver.fail(task)
    assert len(driver.placed) == placed


@pytest.mark.parametrize("index", POLICIES)
def test_a_query_on_which_every_model_raises_gets_an_error_after_a_bounded_number_of_tries(index: int) -> None:
    driver = Driver(every_policy()[index], 4)
    driver.arrive(2)
    for _ in range(10 * TRIES):
        driver.until(driver.now_s + 0.02)
        for task in driver.on_instances():
            driver.fail(task)
    assert driver.sources(range(2)) == [ERROR] * 2
    assert driver.now_s < 60
    assert driver.on_instances() == []


@pytest.mark.parametrize("index", POLICIES)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_what_is_over_is_freed_without_a_garbage_collector(index: int, batch_size: int) -> None:
    driver = Driver(every_policy()[index], 2, batch_size=batch_size, slo_s=0.5)
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for turn in range(1_500):
            driver.arrive(2 * batch_size)
            driver.until(driver.now_s + 0.04)
            while driver.on_instances():
                task = driver.on_instances()[turn % len(driver.on_instances())]
                (driver.fail if turn % 7 == 3 and task.tries == 0 else driver.finish)(task)
        driver.placed.clear()
        driver.responses.clear()
        assert alive() - before < 300
    finally:
        gc.enable()


# ---- instances


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (NoRedundancy(2, 1), {"base": 12}),
        (EqualResources(2, 1), {"base": 18}),
        (EqualResources(5, 2), {"base": 17}),
        (Replication(2, 1, factor=3), {"base": 36}),
        (Replication(2, 1, equal_resources=True), {"base": 18}),
        (Hedged(4, 1), {"base": 15}),
        (Reissue(4, 1), {"base": 15}),
        (Tied(4, 1), {"base": 15}),
        (Laedge(2, 1), {"base": 18}),
        (Duplicates(2, 1), {"base": 18}),
        (ApproximateBackup(2, 1), {"base": 12, "backup": 6}),
        (Parity(4, 2), {"base": 12, "parity": 6}),
        (SharedParity(4, 2), {"shared": 18}),
        (Adaptive(4, 2), {"shared": 18}),
    ],
)
def test_instances_follow_from_m_k_and_r(policy: Policy, expected: dict[str, int]) -> None:
    assert {role.name: role.instances for role in policy.roles(12)} == expected


def test_the_reserve_of_shared_parity_leaves_an_instance_for_parity() -> None:
    driver = Driver(SharedParity(2, 1, reserve=9), 2)  # 3 instances
    queue = driver.desk.queues("shared")
    assert isinstance(queue, SingleQueue) and queue.left_free == 2
    assert driver.desk.held == [("base", "parity-0")] * 3


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (Replication, {"factor": 1}, "factor=1"),
        (Hedged, {"copies": 0}, "copies=0"),
        (Hedged, {"delay_ms": -1}, "delay_ms=-1"),
        (Hedged, {"percentile": 100}, "percentile=100"),
        (Hedged, {"margin": 0.5}, "margin=0.5"),
        (Hedged, {"max_extra": 1.5}, "max_extra=1.5"),
        (Hedged, {"tokens": 0}, "tokens=0"),
        (Hedged, {"token_ratio": 0}, "token_ratio=0"),
        (Reissue, {"percentile": 100}, "percentile=100"),
        (Reissue, {"budget": 0}, "budget=0"),
        (Tied, {"delay_ms": -1}, "delay_ms=-1"),
        (Parity, {"wait_exact_ms": -1}, "wait_exact_ms=-1"),
        (ApproximateBackup, {"percentile": 0}, "percentile=0"),
        (SharedParity, {"load_limit": -0.1}, "load_limit=-0.1"),
        (SharedParity, {"reserve": -1}, "reserve=-1"),
        (Adaptive, {"copy_limit": 0.6}, "copy_limit=0.6"),
        (Adaptive, {"copies": 0}, "copies=0"),
        (CheckedParity, {"false_alarm_rate": 0}, "false_alarm_rate=0"),
        (CheckedSharedParity, {"reserve": -1}, "reserve=-1"),
        (VotedParity, {}, "r=1"),
        (VotedReplication, {"wait_ms": -1}, "wait_ms=-1"),
    ],
)
def test_values_out_of_range_are_refused_by_name(make: type[Policy], arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make(2, 1, **arguments)
