"""Replication, driven by events."""

from parity_exp.policies import (
    Replication,
)
from parity_exp.policies.policy import TRIES, AnswerSource
from tests.policies.desk_driver import Driver

OWN = AnswerSource.OWN


def test_the_first_copy_answers_and_queued_copies_are_cancelled() -> None:
    driver = Driver(Replication(2, 1, factor=3), 1)  # 3 instances
    driver.kill(2)
    driver.arrive(2)
    first, second = driver.tasks_of(0)
    driver.finish(second)
    assert driver.sources(range(2)) == [OWN, None]
    assert [task.batch.queries for task in driver.on_instances()] == [(0,), (1,)]
    driver.finish(first)
    assert driver.responses[0].work is second
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
