"""Parity queries of batches that differ in size."""

import pytest

from parity_exp.policies import (
    Parity,
)
from parity_exp.policies.policy import AnswerSource, Policy
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, DEFAULT, ERROR = (
    AnswerSource.OWN,
    AnswerSource.RECONSTRUCTED,
    AnswerSource.DEFAULT,
    AnswerSource.ERROR,
)


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
