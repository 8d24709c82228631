"""A small model that stands in, driven by events."""

import pytest

from parity_exp.policies import ApproximateBackup
from parity_exp.policies.estimates.lateness import FIRST
from parity_exp.policies.policy import AnswerSource, Work
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


# ---- multiplexed: k queries in one task


def multiplexed(k: int = 3, delay_ms: float | None = 0, fill_ms: float = 20, base_instances: int = 3) -> Driver:
    return Driver(ApproximateBackup(k, 1, delay_ms, multiplexed=True, fill_ms=fill_ms), base_instances)


def group_tasks(driver: Driver) -> list[Work]:
    return [task for task in driver.on_instances() if task.model == "multiplexed_backup"]


def test_k_queries_share_one_task_whose_answers_come_in_one() -> None:
    driver = multiplexed()
    driver.arrive(2)
    assert group_tasks(driver) == []
    driver.arrive(1)
    (task,) = group_tasks(driver)
    assert task.batch is None and task.group is not None and len(task.group.members) == 3
    driver.finish(task)
    assert driver.sources(range(3)) == [BACKUP] * 3
    assert [response.place for response in driver.responses] == [0, 1, 2]
    assert all(response.parities == (task,) for response in driver.responses)


def test_a_query_does_not_wait_longer_than_it_may_for_others_to_share_its_task() -> None:
    driver = multiplexed()
    driver.arrive(1)
    driver.until(0.01)
    driver.arrive(1)
    driver.until(0.019)
    assert group_tasks(driver) == []
    driver.until(0.02)
    (task,) = group_tasks(driver)
    assert task.group is not None and len(task.group.members) == 2
    driver.arrive(1)  # which begins another group
    assert len(task.group.members) == 2
    driver.finish(task)
    assert driver.sources(range(3)) == [BACKUP, BACKUP, None]


def test_a_later_query_of_a_group_has_its_own_time_to_wait_where_the_first_one_is_answered() -> None:
    driver = multiplexed()
    driver.arrive(1)
    driver.until(0.01)
    driver.arrive(1)
    driver.finish(driver.task_of(0))
    driver.until(0.029)
    assert group_tasks(driver) == []
    driver.until(0.03)
    assert len(group_tasks(driver)) == 1


def test_no_task_is_sent_for_a_group_whose_queries_have_their_answers() -> None:
    driver = multiplexed()
    driver.arrive(2)
    driver.finish(driver.task_of(0))
    driver.finish(driver.task_of(1))
    driver.arrive(2)
    driver.until(0.019)
    assert group_tasks(driver) == []
    driver.arrive(1)
    (task,) = group_tasks(driver)
    assert [batch.queries for batch in task.group.members] == [(2,), (3,), (4,)]  # type: ignore[union-attr]


def test_a_queued_task_is_spared_when_all_of_its_queries_have_their_own_answers() -> None:
    driver = multiplexed(k=2, base_instances=4)  # two backup instances
    driver.arrive(6)
    first, second = group_tasks(driver)
    for query in range(6):
        driver.finish(driver.task_of(query))
    assert driver.sources(range(6)) == [OWN] * 6
    driver.finish(first)
    driver.finish(second)
    assert driver.on_instances() == []
    assert len(driver.responses) == 6


def test_what_shares_a_task_stands_in_for_each_query_when_its_own_prediction_is_late() -> None:
    driver = multiplexed(k=2, delay_ms=30, base_instances=2)
    driver.arrive(1)
    driver.until(0.01)
    driver.arrive(1)
    driver.finish(group_tasks(driver)[0])
    driver.until(0.03)
    assert driver.sources(range(2)) == [BACKUP, None]
    driver.until(0.04)
    assert driver.answers[1] == (BACKUP, pytest.approx(0.04))


def test_queries_get_an_error_when_both_models_raise_on_them() -> None:
    driver = multiplexed(k=2, delay_ms=1e6, base_instances=2)
    driver.arrive(2)
    driver.fail_until_given_up(0)
    for _ in range(5):
        (task,) = group_tasks(driver)
        driver.fail(task)
    assert driver.sources(range(2)) == [ERROR, None]
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [ERROR, OWN]


def test_a_waiting_time_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="fill_ms=-1"):
        ApproximateBackup(2, 1, fill_ms=-1)
