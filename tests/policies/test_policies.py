"""Each policy, driven by events: the ordinary path, and what instances and time can do to it."""

import gc
import random
from collections.abc import Callable
from typing import Any

import pytest

from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    CheckedParity,
    CheckedSharedParity,
    EqualResources,
    Hedged,
    NoRedundancy,
    Oracle,
    Parity,
    Replication,
    SharedParity,
    VotedParity,
    VotedReplication,
)
from parity_exp.policies.busyness import Busyness
from parity_exp.policies.desk import Queues, RoundRobin, SingleQueue
from parity_exp.policies.lateness import FIRST, REFRESH, Lateness
from parity_exp.policies.policy import TRIES, Policy, Source, Task
from tests.policies.desk_driver import Driver, alive

OWN, RECONSTRUCTED, BACKUP, DEFAULT, ERROR = Source


def every_policy(k: int = 2, r: int = 1) -> list[Policy]:
    return [
        NoRedundancy(k, r),
        EqualResources(k, r),
        Replication(k, r),
        Hedged(k, r, delay_ms=30),
        ApproximateBackup(k, r, delay_ms=30),
        Parity(k, r),
        SharedParity(k, r, delay_ms=30),
        Adaptive(k, r, delay_ms=30),
        Adaptive(k, r, delay_ms=30, copy_limit=0),
        CheckedParity(k, r),
        CheckedSharedParity(k, r, delay_ms=30),
        VotedParity(k, r + 1),
        VotedReplication(k, r),
    ]


POLICIES = [pytest.param(index, id=type(policy).__name__) for index, policy in enumerate(every_policy())]
PROMPT = POLICIES[:-2]
"""Those that answer as soon as they can."""


# ---- all policies


@pytest.mark.parametrize("index", PROMPT)
@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
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
@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
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


# ---- instances that policies ask for


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (NoRedundancy(2, 1), {"base": 12}),
        (EqualResources(2, 1), {"base": 18}),
        (EqualResources(5, 2), {"base": 17}),
        (Replication(2, 1, factor=3), {"base": 36}),
        (Hedged(4, 1), {"base": 15}),
        (ApproximateBackup(2, 1), {"base": 12, "backup": 6}),
        (Parity(4, 2), {"base": 12, "parity": 6}),
        (SharedParity(4, 2), {"shared": 18}),
        (Adaptive(4, 2), {"shared": 18}),
    ],
)
def test_instances_follow_from_m_k_and_r(policy: Policy, expected: dict[str, int]) -> None:
    assert {role.name: role.instances for role in policy.roles(12)} == expected


def test_the_reserve_of_shared_parity_leaves_an_instance_for_parity() -> None:
    (role,) = SharedParity(2, 1, reserve=9).roles(2)
    assert role.reserve == role.instances - 1
    assert role.models == ("base", "parity-0")


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (Replication, {"factor": 1}, "factor=1"),
        (Hedged, {"copies": 0}, "copies=0"),
        (Hedged, {"delay_ms": -1}, "delay_ms=-1"),
        (Hedged, {"percentile": 100}, "percentile=100"),
        (Hedged, {"margin": 0.5}, "margin=0.5"),
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


# ---- none, equal resources


@pytest.mark.parametrize("policy", [NoRedundancy(2, 1), EqualResources(2, 1)])
def test_without_redundancy_a_query_is_sent_once(policy: Policy) -> None:
    driver = Driver(policy, 4)
    driver.arrive(4)
    driver.until(1)
    assert len(driver.placed) == 4


def test_a_task_that_fails_is_sent_again_until_it_has_been_tried_often_enough() -> None:
    driver = Driver(NoRedundancy(2, 1), 2)
    driver.arrive(1)
    driver.fail_until_given_up(0)
    assert driver.sources([0]) == [ERROR]
    assert [task.tries for task in driver.placed] == list(range(TRIES))


# ---- replication


def test_the_first_copy_answers_and_queued_copies_are_cancelled() -> None:
    driver = Driver(Replication(2, 1, factor=3), 1)  # 3 instances
    driver.kill(2)
    driver.arrive(2)
    first, second = driver.tasks_of(0)
    driver.finish(second)
    assert driver.sources(range(2)) == [OWN, None]
    assert [task.batch.queries for task in driver.on_instances()] == [(0,), (1,)]
    driver.finish(first)
    assert driver.responses[0].task is second
    assert len(driver.tasks_of(1)) == 2
    assert len(driver.answers) == 1


def test_replication_sends_again_only_the_copy_that_was_lost() -> None:
    driver = Driver(Replication(2, 1), 2)
    driver.arrive(1)
    first, second = driver.tasks_of(0)
    driver.kill(first.instance)
    assert {task.instance for task in driver.tasks_of(0)} == {second.instance, driver.placed[-1].instance}
    driver.finish(driver.placed[-1])
    driver.kill(second.instance)
    assert len(driver.placed) == 3


def test_one_copy_that_always_fails_does_not_make_the_query_fail() -> None:
    driver = Driver(Replication(2, 1), 2)
    driver.arrive(1)
    good, bad = driver.tasks_of(0)
    for _ in range(TRIES):
        driver.fail(bad)
        bad = driver.placed[-1]
    assert driver.tasks_of(0) == [good]
    driver.finish(good)
    assert driver.sources([0]) == [OWN]


# ---- hedged


def test_a_query_is_hedged_when_it_has_been_on_its_instance_for_too_long() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30), 2)  # 3 instances
    driver.arrive(2)
    driver.until(0.029)
    assert len(driver.placed) == 2
    driver.until(0.031)
    assert len(driver.placed) == 3
    copy = driver.placed[2]
    assert copy.batch.queries == (0,)
    driver.finish(copy)
    assert driver.sources(range(2)) == [OWN, None]
    assert len(driver.tasks_of(1)) == 2, "the other late query takes the instance"


def test_time_in_the_queue_does_not_count_as_late() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30), 1)  # 2 instances
    driver.arrive(3)
    driver.until(0.1)
    driver.finish(driver.task_of(0))
    assert len(driver.tasks_of(2)) + len(driver.tasks_of(1)) == 2
    queued_since_s = driver.now_s
    driver.until(queued_since_s + 0.029)
    assert len(driver.tasks_of(2)) <= 1


def test_a_queued_copy_is_cancelled_by_the_answer() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30), 1)  # 2 instances
    driver.arrive(2)
    driver.until(0.05)
    driver.finish(driver.task_of(0))
    assert driver.tasks_of(0) == []
    assert len(driver.tasks_of(1)) == 2


@pytest.mark.parametrize("copies", [1, 2])
def test_there_are_no_more_copies_than_allowed(copies: int) -> None:
    driver = Driver(Hedged(1, 1, delay_ms=30, copies=copies), 3)  # 6 instances
    driver.arrive(1)
    driver.until(5)
    assert len(driver.placed) == 1 + copies
    assert len({task.instance for task in driver.placed}) == 1 + copies


def test_a_hedge_that_is_lost_is_sent_again_while_the_query_waits() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30), 4)
    driver.arrive(1)
    driver.until(0.031)
    original, copy = driver.tasks_of(0)
    driver.kill(copy.instance)
    assert len(driver.tasks_of(0)) == 2
    driver.finish(original)
    driver.kill(driver.on_instances()[0].instance)
    assert driver.on_instances() == []


def test_an_urgent_copy_goes_before_what_is_queued() -> None:
    for urgent, expected in ((True, [0]), (False, [2])):
        driver = Driver(Hedged(2, 1, delay_ms=30, urgent=urgent), 1)  # 2 instances
        driver.arrive(3)
        driver.until(0.031)
        driver.finish(driver.task_of(1))
        assert [query for query in (0, 2) if driver.placed[-1].batch.queries == (query,)] == expected


def test_nothing_is_hedged_while_nothing_is_known_about_durations() -> None:
    driver = Driver(Hedged(2, 1), 4)
    driver.arrive(1)
    driver.until(10)
    assert len(driver.placed) == 1
    for _ in range(FIRST):
        (query,) = driver.arrive()
        driver.until(driver.now_s + 0.01)
        driver.finish(driver.task_of(query))
    (query,) = driver.arrive()
    driver.until(driver.now_s + 0.0119)
    assert len(driver.tasks_of(query)) == 1
    driver.until(driver.now_s + 0.0002)
    assert len(driver.tasks_of(query)) == 2


def test_copies_of_a_query_on_which_the_model_raises_do_not_go_on_for_ever() -> None:
    driver = Driver(Hedged(1, 1, delay_ms=5), 4)  # 8 instances
    driver.arrive(1)
    for _ in range(1_000):
        driver.until(driver.now_s + 0.002)
        for task in driver.on_instances():
            if driver.now_s - task.placed_s >= 0.0071:
                driver.fail(task)
    assert driver.sources([0]) == [ERROR]
    assert len(driver.placed) <= 2 * TRIES


# ---- approximate backup


def test_the_backup_stands_in_when_the_own_prediction_is_late() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.until(0.029)
    assert driver.sources([0]) == [None]
    driver.until(0.03)
    assert driver.answers[0] == (BACKUP, pytest.approx(0.03))
    assert driver.responses[0].task is not None
    assert driver.responses[0].task.model == "backup"
    driver.finish(driver.task_of(0))
    assert len(driver.responses) == 1


def test_a_backup_that_is_late_itself_answers_at_once() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.until(0.05)
    driver.finish(driver.task_of(0, "backup"))
    assert driver.sources([0]) == [BACKUP]


def test_an_own_prediction_in_time_is_preferred() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    batch = driver.task_of(0).batch
    driver.finish(driver.task_of(0, "backup"))
    driver.until(0.02)
    driver.finish(driver.task_of(0))
    driver.until(1)
    assert driver.answers[0] == (OWN, pytest.approx(0.02))
    assert batch is not None
    assert batch.spare is None


def test_with_no_delay_the_first_answer_counts_and_the_queued_own_task_is_spared() -> None:
    driver = Driver(ApproximateBackup(1, 1, delay_ms=0), 1)
    driver.arrive(2)
    driver.finish(driver.task_of(0, "backup"))
    driver.finish(driver.task_of(1, "backup"))
    assert driver.sources(range(2)) == [BACKUP, BACKUP]
    driver.finish(driver.task_of(0))
    assert driver.on_instances() == []


def test_a_queued_backup_is_cancelled_by_the_own_prediction() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)  # 1 backup instance
    driver.arrive(2)
    driver.finish(driver.task_of(1))
    driver.finish(driver.task_of(0, "backup"))
    assert driver.tasks_of(1, "backup") == []


@pytest.mark.parametrize("delay_ms", [None, 1e6])
def test_the_backup_stands_in_for_a_base_model_that_raises_whichever_ends_first(delay_ms: float | None) -> None:
    for backup_first in (True, False):
        driver = Driver(ApproximateBackup(2, 1, delay_ms=delay_ms), 2)
        driver.arrive(1)
        backup = driver.task_of(0, "backup")
        if backup_first:
            driver.finish(backup)
        driver.fail_until_given_up(0)
        if not backup_first:
            assert driver.sources([0]) == [None]
            driver.finish(backup)
        assert driver.sources([0]) == [BACKUP]


def test_a_backup_that_raises_leaves_the_query_to_the_base_model() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.fail_until_given_up(0, "backup")
    driver.until(1)
    assert driver.sources([0]) == [None]
    driver.fail(driver.task_of(0))
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


def test_when_both_models_raise_the_query_gets_an_error() -> None:
    for models in (("base", "backup"), ("backup", "base")):
        driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
        driver.arrive(1)
        for model in models:
            assert driver.sources([0]) == [None]
            driver.fail_until_given_up(0, model)
        assert driver.sources([0]) == [ERROR]


def test_a_spare_answer_survives_the_loss_of_the_base_instance() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.kill(0, 1)
    driver.until(0.031)
    assert driver.sources([0]) == [BACKUP]
    driver.up(0, 1)
    assert driver.on_instances() == []


def test_nothing_is_late_while_nothing_is_known_about_own_predictions() -> None:
    driver = Driver(ApproximateBackup(2, 1), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.until(10)
    assert driver.sources([0]) == [None]
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


def test_a_batch_that_arrived_before_lateness_was_known_can_be_late() -> None:
    driver = Driver(ApproximateBackup(2, 1), 2)
    driver.arrive(1)
    backup = driver.task_of(0, "backup")
    driver.until(0.001)
    while driver.queries <= FIRST:
        (query,) = driver.arrive()
        driver.finish(driver.task_of(query))
    driver.until(0.02)
    driver.finish(backup)
    assert driver.sources([0]) == [BACKUP]


# ---- parity


def test_parity_queries_are_sent_when_the_kth_batch_is_there() -> None:
    driver = Driver(Parity(3, 2), 3)
    driver.arrive(2)
    assert driver.parities() == []
    driver.arrive(1)
    assert [(task.model, task.row) for task in driver.parities()] == [("parity-0", 0), ("parity-1", 1)]
    driver.arrive(3)
    assert {task.group.number for task in driver.placed if task.group is not None} == {0}, "two parity instances"


def test_the_code_answers_when_the_own_prediction_is_late() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    parity, late = driver.parities()[0], driver.task_of(1)
    driver.finish(driver.task_of(0))
    own = driver.placed[0]
    driver.finish(parity)
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]
    response = driver.responses[1]
    assert (response.own, response.parities, response.place) == ((own, None), (parity,), 1)
    assert (response.group, response.task) == (0, parity)
    driver.finish(late)
    assert len(driver.responses) == 2


def test_an_own_prediction_can_complete_the_code() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    assert driver.answers == {}
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_an_own_task_still_queued_is_cancelled_by_its_reconstruction() -> None:
    driver = Driver(Parity(2, 1), 1)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    driver.finish(driver.task_of(0))
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]
    assert driver.on_instances() == []


def test_queued_parity_queries_are_cancelled_when_all_own_predictions_are_there() -> None:
    driver = Driver(Parity(2, 1), 2)  # 1 parity instance
    driver.arrive(2)
    (first,) = driver.parities()
    for query in range(2):
        driver.finish(driver.task_of(query))
    driver.arrive(2)
    for query in (2, 3):
        driver.finish(driver.task_of(query))
    driver.finish(first)
    assert driver.parities() == []
    assert driver.sources(range(4)) == [OWN] * 4


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_late_parity_output_is_not_kept(answered_first: bool) -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    (parity,) = driver.parities()
    group = parity.group
    for query in range(2):
        driver.finish(driver.task_of(query))
    (driver.finish if answered_first else driver.fail)(parity)
    assert group is not None
    assert (group.over, group.members, group.own, group.parities, group.pending) == (True, [], [], [None], [None])
    assert len(driver.placed) == 3


def test_late_answers_after_a_reconstruction_change_nothing() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    late = driver.task_of(0)
    batch = late.batch
    driver.finish(driver.task_of(1))
    driver.finish(driver.parities()[0])
    driver.kill(late.instance)
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]
    assert driver.on_instances() == []
    assert batch is not None
    assert (batch.tasks, batch.group) == ([], None)


def test_two_losses_at_once_are_made_good_with_two_parity_queries() -> None:
    driver = Driver(Parity(4, 2), 4)  # 2 parity instances
    driver.arrive(4)
    driver.kill(1, 2)
    for query in (0, 3):
        driver.finish(driver.task_of(query))
    for parity in driver.parities():
        assert len(driver.answers) == 2
        driver.finish(parity)
    assert driver.sources(range(4)) == [OWN, RECONSTRUCTED, RECONSTRUCTED, OWN]
    assert [place for place, own in enumerate(driver.responses[-1].own) if own is None] == [1, 2]
    assert None not in driver.responses[-1].parities
    for late in driver.on_instances():
        driver.finish(late)
    assert len(driver.responses) == 4


def test_more_losses_than_parity_queries_are_sent_again() -> None:
    driver = Driver(Parity(4, 2), 4)
    driver.arrive(4)
    for parity in driver.parities():
        driver.finish(parity)
    driver.kill(0, 1, 2)
    driver.finish(driver.task_of(3))
    assert driver.sources(range(4)) == [None, None, None, OWN]
    driver.finish(driver.on_instances()[0])
    sources = driver.sources(range(4))
    assert (sources.count(OWN), sources.count(RECONSTRUCTED)) == (2, 2)


def test_the_other_parity_query_is_cancelled_when_one_was_enough() -> None:
    driver = Driver(Parity(2, 2), 1)  # 1 parity instance
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    driver.finish(driver.task_of(0))
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]
    assert driver.on_instances() == []
    assert len(driver.placed) == 3


@pytest.mark.parametrize("when", ["queued", "placed"])
def test_a_parity_query_that_is_lost_is_sent_again_while_it_is_of_use(when: str) -> None:
    driver = Driver(Parity(2, 1), 2)  # instance 2 holds the parity model
    if when == "queued":
        driver.kill(2)
    driver.arrive(2)
    if when == "placed":
        driver.kill(2)
    driver.up(2)
    driver.finish(driver.task_of(1))
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_a_parity_output_survives_its_instance() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    driver.kill(2, 0)
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_an_own_prediction_survives_its_instance() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0))
    driver.kill(0)
    driver.arrive(1)
    driver.kill(1)
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]


def test_a_parity_model_that_raises_is_given_up_and_queries_get_their_own_predictions() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    for _ in range(TRIES):
        driver.fail(driver.parities()[0])
    assert driver.parities() == []
    for query in range(2):
        driver.finish(driver.task_of(query))
    assert driver.sources(range(2)) == [OWN, OWN]


def test_the_code_answers_a_query_on_which_the_base_model_raises() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(1)
    driver.fail_until_given_up(0)
    assert driver.sources([0]) == [None], "its group is still filling"
    driver.arrive(1)
    driver.finish(driver.parities()[0])
    assert driver.sources([0]) == [None], "the other member's own prediction may still come"
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_the_code_waits_for_a_slow_member_before_it_gives_up_another() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    driver.fail_until_given_up(0)
    driver.finish(driver.parities()[0])
    driver.fail(driver.task_of(1))
    assert driver.sources(range(2)) == [None, None]
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_errors_are_given_as_soon_as_the_code_cannot_help_either() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.arrive(2)
    driver.fail_until_given_up(0)
    for _ in range(TRIES - 1):
        driver.fail(driver.parities()[0])
    assert driver.sources([0]) == [None]
    driver.fail(driver.parities()[0])
    assert driver.sources([0]) == [ERROR]
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [ERROR, OWN]


def test_a_member_that_gets_the_default_and_is_lost_ends_the_wait_of_one_that_failed() -> None:
    driver = Driver(Parity(2, 1), 2, slo_s=0.1)
    driver.arrive(1)
    driver.until(0.05)
    driver.arrive(1)
    slow = driver.task_of(0)
    driver.fail_until_given_up(1)
    driver.finish(driver.parities()[0])
    driver.until(0.11)
    assert driver.sources(range(2)) == [DEFAULT, None]
    driver.fail(slow)
    assert driver.sources(range(2)) == [DEFAULT, ERROR]


def test_an_own_prediction_after_its_deadline_still_serves_the_group() -> None:
    driver = Driver(Parity(2, 1), 2, slo_s=0.1)
    driver.arrive(1)
    driver.until(0.05)
    driver.arrive(1)
    driver.until(0.11)
    driver.finish(driver.parities()[0])
    driver.finish(driver.task_of(0))
    assert driver.sources(range(2)) == [DEFAULT, RECONSTRUCTED]
    assert driver.responses[-1].own[0] is not None


def test_groups_that_never_fill_are_answered_by_themselves() -> None:
    driver = Driver(Parity(3, 1), 2)
    driver.arrive(2)
    for query in range(2):
        driver.finish(driver.task_of(query))
    assert driver.sources(range(2)) == [OWN, OWN]


# ---- parity, batches of unequal sizes


def unequal_batches(policy: Policy, sizes: tuple[int, ...]) -> Driver:
    driver = Driver(policy, len(sizes), batch_size=max(sizes), window_s=0.01)
    for size in sizes:
        driver.arrive(size)
        driver.until(driver.now_s + 0.011)
    return driver


def test_elements_that_parity_does_not_cover_wait_for_their_own_prediction() -> None:
    driver = unequal_batches(Parity(2, 1), (3, 1))
    (parity,) = driver.parities()
    assert parity.group is not None
    assert parity.group.elements == 1
    long = driver.task_of(0)
    driver.finish(driver.task_of(3))
    driver.finish(parity)
    assert driver.sources(range(4)) == [RECONSTRUCTED, None, None, OWN]
    driver.finish(long)
    assert driver.sources(range(4)) == [RECONSTRUCTED, OWN, OWN, OWN]
    assert driver.responses[-1].elements == [1, 2]
    assert parity.group.over


def test_elements_that_parity_does_not_cover_are_sent_again_when_lost() -> None:
    driver = unequal_batches(Parity(2, 1), (2, 1))
    driver.finish(driver.parities()[0])
    driver.finish(driver.task_of(2))
    driver.kill(0)
    driver.finish(driver.task_of(1))
    assert driver.sources(range(3)) == [RECONSTRUCTED, OWN, OWN]


@pytest.mark.parametrize("raises_first", [True, False])
def test_elements_that_nothing_can_answer_get_an_error(raises_first: bool) -> None:
    driver = unequal_batches(Parity(2, 1), (2, 1))
    if raises_first:
        driver.fail_until_given_up(0)
    driver.finish(driver.task_of(2))
    driver.finish(driver.parities()[0])
    if not raises_first:
        driver.fail_until_given_up(0)
    assert driver.sources(range(3)) == [RECONSTRUCTED, ERROR, OWN]


def test_further_parity_queries_are_dropped_when_all_they_cover_is_answered() -> None:
    driver = unequal_batches(Parity(3, 2), (2, 1, 1))  # 2 parity instances
    driver.kill(4)
    first = driver.parities()[0]
    driver.finish(driver.task_of(2))
    driver.finish(driver.task_of(3))
    driver.finish(first)
    assert driver.sources(range(4)) == [RECONSTRUCTED, None, OWN, OWN]
    assert driver.parities() == []


def test_deadlines_inside_a_batch_leave_the_rest_to_the_code() -> None:
    driver = Driver(Parity(2, 1), 2, batch_size=2, window_s=1, slo_s=0.1)
    driver.arrive(1)
    driver.until(0.05)
    driver.arrive(1)
    driver.arrive(2)
    driver.until(0.11)
    driver.finish(driver.parities()[0])
    driver.finish(driver.task_of(2))
    assert driver.sources(range(4)) == [DEFAULT, RECONSTRUCTED, OWN, OWN]


# ---- shared parity


def test_parity_of_a_shared_pool_runs_on_idle_instances() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=1e6), 4)  # 6 instances
    driver.arrive(2)
    (parity,) = driver.parities()
    driver.finish(driver.task_of(0))
    driver.finish(parity)
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]


def test_queued_parity_is_dropped_once_it_could_help_one_query_only() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=1e6, reserve=0), 2)  # 3 instances
    driver.arrive(1)
    driver.arrive(1)
    driver.finish(driver.parities()[0])
    driver.arrive(2)
    assert driver.parities() == []
    driver.finish(driver.task_of(2))
    assert driver.parities() == [], "only one query of the second group waits"
    driver.finish(driver.task_of(0))
    assert driver.parities() == []


def test_queued_parity_is_kept_for_a_query_on_which_the_base_model_raises() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=1e6, reserve=1), 2)  # 3 instances
    driver.kill(2)
    driver.arrive(2)
    driver.fail_until_given_up(0)
    assert driver.parities() == [], "the idle instance is the reserve"
    driver.finish(driver.task_of(1))
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED, OWN]


def test_a_late_query_is_sent_again_once() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=30), 4)
    driver.arrive(1)
    driver.until(5)
    assert len(driver.tasks_of(0)) == 2
    driver.finish(driver.tasks_of(0)[1])
    assert driver.sources([0]) == [OWN]
    assert len(driver.placed) == 2


def test_a_copy_is_offered_to_idle_instances_before_it_takes_a_querys_turn() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=24, reserve=0), 2)  # 3 instances
    driver.arrive(1)
    driver.until(0.0205)
    assert len(driver.tasks_of(0)) == 1
    driver.until(0.0215)
    assert [task.low for task in driver.tasks_of(0)] == [False, True]

    driver = Driver(SharedParity(4, 1, delay_ms=24, reserve=0), 1)  # 2 instances
    driver.arrive(2)
    driver.until(0.0235)  # two low-priority copies are queued
    driver.arrive(1)
    driver.until(0.0245)  # and queries 0 and 1 are late, behind query 2
    driver.finish(driver.task_of(1))
    assert len(driver.tasks_of(2)) == 1
    driver.finish(driver.task_of(2))
    assert [task.low for task in driver.tasks_of(0)] == [False, False]


def test_a_copy_that_waits_for_an_idle_instance_gets_its_turn_though_lateness_has_changed() -> None:
    driver = Driver(policy := SharedParity(4, 1, delay_ms=24, reserve=0), 1)  # 2 instances
    driver.arrive(2)
    driver.until(0.0215)
    policy.lateness.fixed_s = 0.040
    driver.until(0.0395)
    driver.arrive(1)
    driver.until(0.0405)
    driver.finish(driver.task_of(1))
    driver.finish(driver.task_of(2))
    assert [task.low for task in driver.tasks_of(0)] == [False, False]


def test_a_hedge_that_is_queued_is_cancelled_by_the_reconstruction() -> None:
    driver = Driver(SharedParity(2, 1, delay_ms=30, reserve=0), 2)  # 3 instances
    driver.arrive(2)
    (parity,) = driver.parities()
    driver.until(0.04)  # two copies are queued
    driver.finish(driver.task_of(0))
    driver.finish(parity)
    assert driver.sources(range(2)) == [OWN, RECONSTRUCTED]
    driver.until(1)
    assert all(task.batch is None or task.batch.answered for task in driver.on_instances())
    assert len(driver.placed) == 4


@pytest.mark.parametrize(("duration_s", "sent"), [(0.017, True), (0.019, False)])
def test_no_parity_is_sent_above_the_load_limit(duration_s: float, sent: bool) -> None:
    policy = SharedParity(2, 1, delay_ms=1e6, reserve=0, load_limit=0.6)
    driver = Driver(policy, 2)  # 3 instances: 0.6 of them are busy with tasks of 18 ms every 10 ms
    for query in range(1_000):
        driver.until(query * 0.01)
        driver.arrive(1)
        if query:
            driver.until(query * 0.01 + duration_s - 0.01)
            driver.finish(driver.task_of(query - 1))
            for parity in driver.parities():
                driver.finish(parity)
    assert policy.busyness.share == pytest.approx(duration_s / 0.03, rel=0.02)
    late = [task for task in driver.placed if task.batch is None and task.placed_s > 5]
    assert bool(late) is sent


def test_without_parity_an_error_comes_as_soon_as_the_last_own_prediction() -> None:
    driver = Driver(SharedParity(2, 1, load_limit=0, delay_ms=1e6), 2)
    driver.arrive(1)
    driver.until(0.01)
    driver.finish(driver.task_of(0))
    driver.arrive(1)
    driver.until(0.02)
    driver.arrive(2)
    assert driver.parities() == []
    driver.fail_until_given_up(2)
    driver.finish(driver.task_of(3))
    assert driver.sources([2, 3]) == [ERROR, OWN]


# ---- adaptive


def served_one_by_one(policy: Policy, share: float, instances: int, slow: Callable[[int], bool]) -> Driver:
    """Queries come one by one, so that they keep a share of the instances busy; tasks take 10 ms, slow ones 40."""
    driver = Driver(policy, 2 * instances // 3)
    ends: list[tuple[float, int, Task]] = []
    seen = 0
    for query in range(1_500):
        at_s = query * 0.01 / (share * instances)
        while True:
            for task in driver.placed[seen:]:
                ends.append((task.placed_s + (0.04 if slow(task.instance) else 0.01), task.number, task))
            seen = len(driver.placed)
            if not ends or min(ends)[0] > at_s:
                break
            first = min(ends)
            ends.remove(first)
            driver.until(max(driver.now_s, first[0]))
            driver.finish(first[2])
        driver.until(at_s)
        driver.arrive(1)
    return driver


@pytest.mark.parametrize(("share", "copies", "parity"), [(0.2, True, False), (0.4, False, True), (0.6, False, False)])
def test_what_adaptive_sends_before_anything_is_late_depends_on_the_load(
    share: float, copies: bool, parity: bool
) -> None:
    def slow(_: int) -> bool:
        return random.random() < 0.05

    random.seed(0)
    driver = served_one_by_one(Adaptive(2, 1, delay_ms=1e6), share, 6, slow)
    late = [task for task in driver.placed if task.placed_s > driver.now_s / 2]
    assert (len([task for task in late if task.batch is not None and task.low]) > 100) is copies
    assert (len([task for task in late if task.batch is None]) > 100) is parity


def test_adaptive_sends_no_parity_where_nothing_is_slow() -> None:
    driver = served_one_by_one(Adaptive(2, 1, delay_ms=1e6), 0.4, 6, lambda _: False)
    assert any(task.batch is None for task in driver.placed)
    assert all(task.placed_s < 0.9 * driver.now_s for task in driver.placed if task.batch is None)


def test_a_slow_instance_rests_until_it_has_recovered() -> None:
    recovers = [False]
    policy = Adaptive(2, 1, delay_ms=1e6, copy_limit=0)
    driver = served_one_by_one(policy, 0.4, 6, lambda instance: instance == 3 and not recovers[0])
    assert list(policy.resting) == [3]
    normal = [task for task in driver.placed[-500:] if not task.low]
    assert sum(task.instance == 3 for task in normal) < 0.05 * len(normal), "some when it is tried again"
    assert any(task.instance == 3 for task in driver.placed[-500:]), "parity queries show how it is"
    for _ in range(30):
        driver.arrive(2)
        for task in driver.on_instances():
            policy.slowness.took(3, 0.01)
            driver.finish(task)
    assert policy.resting == {}


def test_an_instance_that_rested_long_enough_is_tried_again() -> None:
    policy = Adaptive(2, 1, delay_ms=1e6, copy_limit=0)
    driver = served_one_by_one(policy, 0.6, 6, lambda instance: instance == 3)
    assert policy.resting or any(task.instance == 3 for task in driver.placed[-100:])
    for task in driver.on_instances():
        driver.finish(task)
    driver.until(driver.now_s + 10)
    driver.arrive(1)
    assert policy.resting == {}


def test_a_third_copy_goes_out_when_the_second_is_late_as_well() -> None:
    driver = Driver(Adaptive(2, 1, delay_ms=30, copy_limit=0), 4)
    driver.arrive(1)
    driver.until(5)
    assert len(driver.tasks_of(0)) == 3


# ---- the oracle


def test_the_oracle_sends_each_query_where_it_is_through_first() -> None:
    policy = Oracle(2, 1)
    times_s = [0.03, 0.01, 0.04]
    policy.foresee = lambda _, begins_s: [begin + time for begin, time in zip(begins_s, times_s, strict=True)]
    driver = Driver(policy, 2)  # 3 instances
    driver.arrive(5)
    assert policy.free_s == [0.03, 0.04, 0.0]
    order = []
    while driver.on_instances():
        task = min(driver.on_instances(), key=lambda task: task.placed_s + times_s[task.instance])
        driver.until(task.placed_s + times_s[task.instance])
        order.append(task.instance)
        driver.finish(task)
    assert sorted(order) == [0, 1, 1, 1, 1] and driver.sources(range(5)) == [OWN] * 5


# ---- lateness and busyness


def test_lateness_is_unknown_at_first_and_then_follows_the_durations() -> None:
    lateness = Lateness(None, 95, 1.2)
    for _ in range(FIRST - 1):
        lateness.took(0.01)
    assert lateness.delay_s is None
    lateness.took(0.01)
    assert lateness.delay_s == pytest.approx(0.012)
    for _ in range(2_000):
        lateness.took(0.02)
    assert lateness.delay_s == pytest.approx(0.024)


def test_lateness_is_the_percentile_times_the_margin() -> None:
    lateness = Lateness(None, 90, 1.5)
    for turn in range(20 * REFRESH):
        lateness.took((turn * 37 % 100) / 1e3)
    assert lateness.delay_s == pytest.approx(0.090 * 1.5, rel=0.02)


def test_a_fixed_lateness_learns_nothing() -> None:
    lateness = Lateness(30, 95, 1.2)
    assert lateness.delay_s == 0.03
    for _ in range(100):
        lateness.took(1.0)
    assert lateness.delay_s == 0.03
    assert not lateness.durations


def test_busyness_is_arrivals_times_duration_over_instances() -> None:
    busyness = Busyness(4)
    assert busyness.share == 0
    for turn in range(5_000):
        busyness.arrived(turn * 0.01)
        busyness.took(0.02)
    assert busyness.share == pytest.approx(0.5)


def test_busyness_stands_arrivals_at_the_same_time() -> None:
    busyness = Busyness(2)
    for _ in range(3):
        busyness.arrived(1.0)
    busyness.took(0.1)
    assert busyness.share == 0
    busyness.arrived(1.1)
    assert busyness.share > 0


def test_the_first_gap_between_arrivals_does_not_decide_how_busy_instances_seem() -> None:
    for first_gap_s in (1e-6, 0.02):
        busyness = Busyness(4)
        busyness.arrived(0.0)
        for turn in range(100):
            busyness.arrived(first_gap_s + turn * 0.01)
            busyness.took(0.02)
        assert busyness.share == pytest.approx(0.5, rel=0.02)
