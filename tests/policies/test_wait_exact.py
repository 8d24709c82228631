"""Reconstructions that are held back for the exact answer."""

from collections.abc import Callable

import pytest

from parity_exp.policies import Adaptive, CheckedParity, CheckedSharedParity, Parity, SharedParity
from parity_exp.policies.parity import Parity as AnyParity
from parity_exp.policies.policy import AnswerSource
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED = AnswerSource.OWN, AnswerSource.RECONSTRUCTED

MAKERS: list[Callable[[float], AnyParity]] = [
    lambda wait_ms: Parity(2, 1, wait_exact_ms=wait_ms),
    lambda wait_ms: SharedParity(2, 1, wait_exact_ms=wait_ms),
    lambda wait_ms: Adaptive(2, 1, wait_exact_ms=wait_ms, copies_all=False),
    lambda wait_ms: CheckedParity(2, 1, wait_exact_ms=wait_ms),
    lambda wait_ms: CheckedSharedParity(2, 1, wait_exact_ms=wait_ms),
]


def decodable(make: Callable[[float], AnyParity], wait_ms: float) -> Driver:
    """Two queries, of which the second is late, and their parity output; at 0.01 s."""
    driver = Driver(make(wait_ms), 4)
    driver.arrive(2)
    driver.until(0.01)
    driver.finish(driver.task_of(0))
    (parity,) = [task for task in driver.on_instances() if task.batch is None]
    driver.finish(parity)
    return driver


@pytest.mark.parametrize("make", MAKERS)
def test_the_exact_answer_is_waited_for(make: Callable[[float], AnyParity]) -> None:
    driver = decodable(make, 20)
    driver.until(0.0299)
    assert driver.sources([1]) == [None]
    driver.finish(driver.task_of(1))
    assert driver.sources([1]) == [OWN]


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_not_waited_for_longer(make: Callable[[float], AnyParity]) -> None:
    driver = decodable(make, 20)
    driver.until(0.0301)
    assert driver.answers[1] == (RECONSTRUCTED, pytest.approx(0.03))


@pytest.mark.parametrize("make", MAKERS)
def test_without_a_wait_whatever_comes_first_is_the_answer(make: Callable[[float], AnyParity]) -> None:
    assert decodable(make, 0).sources([1]) == [RECONSTRUCTED]


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_waited_for_that_cannot_come(make: Callable[[float], AnyParity]) -> None:
    driver = decodable(make, 1e6)
    driver.fail_until_given_up(1)
    assert driver.sources([1]) == [RECONSTRUCTED]
