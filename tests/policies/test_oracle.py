"""The policy that knows all service times."""

from parity_exp.policies import (
    Oracle,
)
from parity_exp.policies.policy import AnswerSource
from tests.policies.desk_driver import Driver

OWN = AnswerSource.OWN


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
