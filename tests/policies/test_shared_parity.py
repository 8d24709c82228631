"""Parity queries on instances that hold all models, driven by events."""

import pytest

from parity_exp.policies import (
    SharedParity,
)
from parity_exp.policies.policy import AnswerSource
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, ERROR = AnswerSource.OWN, AnswerSource.RECONSTRUCTED, AnswerSource.ERROR


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
    policy.hedging.lateness.delay_s = 0.040
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
