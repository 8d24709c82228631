"""Parity queries on instances of their own, driven by events."""

import pytest

from parity_exp.policies import (
    Parity,
)
from parity_exp.policies.policy import TRIES, AnswerSource
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, DEFAULT, ERROR = (
    AnswerSource.OWN,
    AnswerSource.RECONSTRUCTED,
    AnswerSource.DEFAULT,
    AnswerSource.ERROR,
)


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
    assert (response.group, response.work) == (0, parity)
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
    assert (batch.under_way, batch.group) == ([], None)


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
