"""Hedging, driven by events."""

import pytest

from parity_exp.policies import Hedged, SharedParity
from parity_exp.policies.estimates.lateness import FIRST
from parity_exp.policies.policy import TRIES, AnswerSource
from tests.policies.desk_driver import Driver

OWN, ERROR = AnswerSource.OWN, AnswerSource.ERROR


def test_a_query_is_hedged_when_it_has_been_on_its_instance_for_too_long() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30, urgent=False), 2)  # 3 instances
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
    driver.until(driver.now_s + 0.0104)
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


def test_a_share_of_extra_load_is_all_that_copies_come_to() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=30, max_extra=0.1), 40)  # 60 instances
    for _ in range(100):
        driver.arrive(1)
        driver.until(driver.now_s + 0.05)  # every query is late
        while driver.on_instances():
            driver.finish(driver.on_instances()[0])
    assert len(driver.placed) == 110


def test_what_queries_deposit_for_copies_expires() -> None:
    driver = Driver(Hedged(1, 1, delay_ms=30, max_extra=0.5), 4)
    for _ in range(4):
        (query,) = driver.arrive()
        driver.finish(driver.task_of(query))
    driver.until(100)
    driver.arrive(1)
    driver.until(101)
    assert len(driver.placed) == 5, "two copies were saved up, and are no longer good"


def test_failures_use_up_the_tokens_of_copies_and_successes_give_them_back() -> None:
    driver = Driver(Hedged(1, 1, delay_ms=30, tokens=4, token_ratio=0.5), 4)
    driver.arrive(1)
    driver.fail_until_given_up(0, tries=2)  # two tokens of four are left
    driver.until(1)
    assert len(driver.tasks_of(0)) == 1
    driver.finish(driver.task_of(0))
    driver.arrive(1)
    driver.until(2)
    assert len(driver.tasks_of(1)) == 2


def test_by_default_copies_are_sent_as_early_as_by_other_policies_and_go_first() -> None:
    hedged, shared = Hedged(2, 1), SharedParity(2, 1)
    assert hedged.urgent
    assert hedged.hedging.lateness.margin == shared.hedging.lateness.margin * shared.hedging.early
