"""A small model that stands in, driven by events."""

import pytest

from parity_exp.policies import (
    ApproximateBackup,
)
from parity_exp.policies.estimates.lateness import FIRST
from parity_exp.policies.policy import AnswerSource
from tests.policies.desk_driver import Driver

OWN, BACKUP, ERROR = AnswerSource.OWN, AnswerSource.BACKUP, AnswerSource.ERROR


def test_the_backup_stands_in_when_the_own_prediction_is_late() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.until(0.029)
    assert driver.sources([0]) == [None]
    driver.until(0.03)
    assert driver.answers[0] == (BACKUP, pytest.approx(0.03))
    assert driver.responses[0].work is not None
    assert driver.responses[0].work.model == "backup"
    driver.finish(driver.task_of(0))
    assert len(driver.responses) == 1


def test_a_backup_that_is_late_itself_answers_at_once() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.until(0.05)
    driver.finish(driver.task_of(0, "backup"))
    assert driver.sources([0]) == [BACKUP]


def test_an_own_prediction_in_time_is_preferred() -> None:
    driver = Driver(policy := ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    assert len(policy.said) == 1
    driver.until(0.02)
    driver.finish(driver.task_of(0))
    driver.until(1)
    assert driver.answers[0] == (OWN, pytest.approx(0.02))
    assert policy.said == {}


def test_with_no_delay_the_first_answer_counts_and_the_queued_own_task_is_spared() -> None:
    driver = Driver(ApproximateBackup(1, 1, delay_ms=0), 1)
    driver.arrive(2)
    driver.finish(driver.task_of(0, "backup"))
    driver.finish(driver.task_of(1, "backup"))
    assert driver.sources(range(2)) == [BACKUP, BACKUP]
    driver.finish(driver.task_of(0))
    assert driver.on_instances() == []


def test_a_queued_backup_is_cancelled_by_the_own_prediction() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)  # 1 backup instance
    driver.arrive(2)
    driver.finish(driver.task_of(1))
    driver.finish(driver.task_of(0, "backup"))
    assert driver.tasks_of(1, "backup") == []


@pytest.mark.parametrize("delay_ms", [None, 1e6])
def test_the_backup_stands_in_for_a_base_model_that_raises_whichever_ends_first(delay_ms: float | None) -> None:
    for backup_first in (True, False):
        driver = Driver(ApproximateBackup(2, 1, delay_ms=delay_ms), 2)
        driver.arrive(1)
        backup = driver.task_of(0, "backup")
        if backup_first:
            driver.finish(backup)
        driver.fail_until_given_up(0)
        if not backup_first:
            assert driver.sources([0]) == [None]
            driver.finish(backup)
        assert driver.sources([0]) == [BACKUP]


def test_a_backup_that_raises_leaves_the_query_to_the_base_model() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.fail_until_given_up(0, "backup")
    driver.until(1)
    assert driver.sources([0]) == [None]
    driver.fail(driver.task_of(0))
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


def test_when_both_models_raise_the_query_gets_an_error() -> None:
    for models in (("base", "backup"), ("backup", "base")):
        driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
        driver.arrive(1)
        for model in models:
            assert driver.sources([0]) == [None]
            driver.fail_until_given_up(0, model)
        assert driver.sources([0]) == [ERROR]


def test_a_spare_answer_survives_the_loss_of_the_base_instance() -> None:
    driver = Driver(ApproximateBackup(2, 1, delay_ms=30), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.kill(0, 1)
    driver.until(0.031)
    assert driver.sources([0]) == [BACKUP]
    driver.up(0, 1)
    assert driver.on_instances() == []


def test_nothing_is_late_while_nothing_is_known_about_own_predictions() -> None:
    driver = Driver(ApproximateBackup(2, 1), 2)
    driver.arrive(1)
    driver.finish(driver.task_of(0, "backup"))
    driver.until(10)
    assert driver.sources([0]) == [None]
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


def test_a_batch_that_arrived_before_lateness_was_known_can_be_late() -> None:
    driver = Driver(ApproximateBackup(2, 1), 2)
    driver.arrive(1)
    backup = driver.task_of(0, "backup")
    driver.until(0.001)
    while driver.queries <= FIRST:
        (query,) = driver.arrive()
        driver.finish(driver.task_of(query))
    driver.until(0.02)
    driver.finish(backup)
    assert driver.sources([0]) == [BACKUP]
