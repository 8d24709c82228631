"""LAEDGE, tied requests and low-priority duplicates, driven by events."""

from parity_exp.policies import Duplicates, Laedge, Tied
from parity_exp.policies.policy import AnswerSource
from parity_exp.policies.queues import RoundRobin
from tests.policies.desk_driver import Driver

OWN = AnswerSource.OWN


def test_laedge_clones_a_query_that_finds_two_idle_instances() -> None:
    driver = Driver(Laedge(2, 1), 2)  # 3 instances
    driver.arrive(1)
    assert len(driver.tasks_of(0)) == 2
    driver.arrive(1)
    assert len(driver.tasks_of(1)) == 1, "one instance was idle"
    driver.arrive(1)
    assert driver.tasks_of(2) == [], "none was"
    driver.finish(driver.tasks_of(0)[1])
    assert driver.sources([0]) == [OWN]
    assert len(driver.tasks_of(2)) == 1
    driver.finish(driver.tasks_of(0)[0])
    assert len(driver.placed) == 4, "whoever becomes idle later takes no clone"


def test_laedge_does_not_clone_later() -> None:
    driver = Driver(Laedge(1, 1), 1)  # 2 instances
    driver.arrive(2)
    driver.arrive(1)
    for _ in range(2):
        driver.finish(driver.on_instances()[0])
    assert [len(task.batch.queries) for task in driver.placed if task.batch] == [1] * len(driver.placed)
    assert len(driver.placed) == 3


def test_who_starts_first_cancels_the_tied_request() -> None:
    driver = Driver(Tied(1, 1, delay_ms=2), 1, queues=RoundRobin)  # 2 instances
    driver.arrive(3)  # the third waits at the first instance
    driver.until(0.001)
    second = driver.task_of(1)
    driver.finish(second)
    assert driver.tasks_of(2) == [], "its second request has not been sent yet"
    driver.arrive(1)  # at the second instance
    driver.until(0.01)
    driver.finish(driver.task_of(3))
    (started,) = driver.tasks_of(2)
    assert started.instance == second.instance
    driver.finish(driver.task_of(0))
    assert len(driver.tasks_of(2)) == 1 and len(driver.placed) == 4


def test_a_query_that_is_started_at_once_has_no_tied_request() -> None:
    for delay_ms in (0, 1):
        driver = Driver(Tied(1, 1, delay_ms=delay_ms), 2, queues=RoundRobin)
        driver.arrive(1)
        driver.until(1)
        assert len(driver.placed) == 1


def test_a_duplicate_waits_until_an_instance_has_nothing_else_to_do() -> None:
    driver = Driver(Duplicates(1, 1), 1)  # 2 instances
    driver.arrive(3)
    assert [len(driver.tasks_of(query)) for query in range(3)] == [1, 1, 0]
    driver.finish(driver.task_of(1))
    assert [len(driver.tasks_of(query)) for query in range(3)] == [1, 0, 1]
    driver.finish(driver.task_of(2))
    assert len(driver.tasks_of(0)) == 2, "what has its answer has no duplicate any more"
