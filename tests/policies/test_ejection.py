"""Outlier ejection, as an option of any policy."""

import pytest

from parity_exp import simulate
from parity_exp.disturbances import Crash, Degraded
from parity_exp.load import Poisson
from parity_exp.policies import Adaptive, EqualResources, Hedged, NoRedundancy, Parity
from parity_exp.policies.ejection import Ejection
from parity_exp.policies.policy import AnswerSource, Policy
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from tests.policies.desk_driver import Driver


def with_ejection(policy: Policy, ejection: Ejection) -> Policy:
    policy.ejection = ejection
    return policy


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
def test_errors_in_a_row_eject_an_instance_for_a_while(queues: type[Queues]) -> None:
    ejection = Ejection(errors=3, slow_factor=None, base_s=5, most_share=0.5)
    driver = Driver(with_ejection(NoRedundancy(2, 1), ejection), 3, queues=queues)
    while not ejection.ejected:
        (query,) = driver.arrive()
        task = driver.task_of(query)
        while task.instance == 1:
            driver.fail(task)
            (task,) = driver.tasks_of(query)
        driver.finish(task)
    assert set(ejection.ejected) == {1}
    before = len(driver.placed)
    for _ in range(9):
        (query,) = driver.arrive()
        driver.finish(driver.task_of(query))
    assert {task.instance for task in driver.placed[before:]} == {0, 2}
    driver.until(driver.now_s + 5)
    driver.arrive(3)
    assert {task.instance for task in driver.on_instances()} == {0, 1, 2}


def test_a_success_in_between_is_no_row() -> None:
    ejection = Ejection(errors=2, slow_factor=None)
    ejection.start([3])
    for _ in range(5):
        assert ejection.failed(0, 1.0) == []
        assert ejection.finished(0, 0.01, 1.0) == []


def test_who_is_ejected_again_is_ejected_for_longer() -> None:
    ejection = Ejection(errors=1, base_s=30, interval_s=100)
    ejection.start([3])
    assert ejection.failed(0, 0.0) == [0] and ejection.due_s == 30
    assert ejection.back(30) == [0]
    assert ejection.failed(0, 40.0) == [0] and ejection.due_s == 100


def test_slow_instances_are_ejected_at_the_end_of_an_interval() -> None:
    ejection = Ejection(interval_s=10, base_s=30, least_tasks=5, most_share=0.3, slow_factor=2)
    ejection.start([4])

    def interval(begin_s: float) -> list[int]:
        found = []
        for step in range(10):
            for instance in range(4):
                if instance not in ejection.ejected:
                    now_s = begin_s + step * 1.2
                    found += ejection.finished(instance, 0.1 if instance == 2 else 0.02, now_s)
        return found

    assert interval(0) == [2]
    assert 39 < ejection.due_s < 43
    assert ejection.back(ejection.due_s - 1) == []
    assert ejection.back(ejection.due_s) == [2]
    assert interval(50) == [2]


def test_at_most_a_share_is_ejected_and_never_the_last_one() -> None:
    ejection = Ejection(errors=1, most_share=0.5)
    ejection.start([4, 1])
    assert [ejection.failed(instance, 0.0) for instance in range(5)] == [[0], [1], [], [], []]


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
def test_who_is_ejected_comes_back_where_nobody_else_is_there(queues: type[Queues]) -> None:
    ejection = Ejection(errors=1, slow_factor=None, base_s=1e6)
    driver = Driver(with_ejection(NoRedundancy(2, 1), ejection), 2, queues=queues)
    (query,) = driver.arrive()
    first = driver.task_of(query)
    driver.fail(first)
    assert set(ejection.ejected) == {first.instance}
    (again,) = driver.tasks_of(query)
    assert again.instance != first.instance
    driver.kill(again.instance)
    (last,) = driver.tasks_of(query)
    assert last.instance == first.instance
    driver.finish(last)
    assert driver.sources([query]) == [AnswerSource.OWN]


@pytest.mark.parametrize("make", [EqualResources, Hedged, Parity, Adaptive])
def test_every_policy_can_have_it_and_loses_no_query(make: type[Policy]) -> None:
    stragglers = {"slow": Degraded(factor=20, instance=1), "crash": Crash(rate_per_s=5.0)}
    ejection = Ejection(errors=2, interval_s=0.5, base_s=1, least_tasks=3)
    policies = {"with": with_ejection(make(2, 1), ejection), "without": make(2, 1)}
    result = simulate(policies, Poisson(2_000, utilisation=0.4), straggler=stragglers, instances=4, show_progress=False)
    assert [result.metrics[f"simulate/{name}/lost"] for name in policies] == [0, 0]
    slow = {name: result.recorded[name].tasks["instance"].value_counts().get(1, 0) for name in policies}
    assert slow["with"] < slow["without"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"errors": None, "slow_factor": None}, "give one of them"),
        ({"errors": 0}, "errors=0"),
        ({"slow_factor": 1}, "slow_factor=1"),
        ({"most_share": 0}, "most_share=0"),
        ({"base_s": 0}, "base_s=0"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, float | None], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Ejection(**arguments)  # type: ignore[arg-type]
