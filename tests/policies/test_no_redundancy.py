"""Policies that send each query once: no redundancy, and the same on the machines that a code would use."""

import pytest

from parity_exp.policies import (
    EqualResources,
    NoRedundancy,
)
from parity_exp.policies.policy import TRIES, AnswerSource, Policy
from tests.policies.desk_driver import Driver

ERROR = AnswerSource.ERROR


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
