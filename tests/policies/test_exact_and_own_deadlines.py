"""Queries that want the base model's own prediction and nothing else, and queries with deadlines of their own."""

import pytest

from parity_exp.policies import NoRedundancy, Parity
from parity_exp.policies.policy import TRIES, AnswerSource
from tests.policies.desk_driver import Driver
from tests.policies.test_every_policy import POLICIES, every_policy

OWN, RECONSTRUCTED, DEFAULT = AnswerSource.OWN, AnswerSource.RECONSTRUCTED, AnswerSource.DEFAULT


def ask(driver: Driver, **wishes: object) -> int:
    query = driver.queries
    driver.queries += 1
    driver.desk.arrive(query, driver.now_s, driver.now_s, **wishes)  # type: ignore[arg-type]
    driver.settle()
    return query


def test_an_exact_query_waits_for_its_own_prediction_where_the_other_is_reconstructed() -> None:
    driver = Driver(Parity(2, 1), 4, batch_size=2, window_s=1.0)
    for exact in (True, False, False, False):
        ask(driver, exact=exact)
    (parity,) = driver.parities()
    driver.finish(driver.task_of(2))
    driver.finish(parity)
    assert driver.sources(range(4)) == [None, RECONSTRUCTED, OWN, OWN]
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


@pytest.mark.parametrize("index", POLICIES)
def test_exact_queries_are_answered_exactly_or_not_at_all(index: int) -> None:
    driver = Driver(every_policy()[index], 2)
    queries = [ask(driver, exact=True) for _ in range(6)]
    for _ in range(40 * TRIES):
        for tasks in list(driver.running):
            for task in list(tasks):
                driver.fail(task) if task.batch is not None and task.model == "base" else driver.finish(task)
        driver.until(driver.now_s + 0.1)
    assert {driver.sources([query])[0] for query in queries} == {AnswerSource.ERROR}


def test_a_deadline_of_its_own_comes_before_that_of_all() -> None:
    driver = Driver(NoRedundancy(2, 1), 1, slo_s=1.0)
    patient, hasty, late = ask(driver), ask(driver, deadline_s=0.2), ask(driver, deadline_s=5.0)
    assert driver.desk.wakes_s() == 0.2
    driver.until(0.3)
    assert driver.sources([patient, hasty, late]) == [None, DEFAULT, None]
    driver.until(1.1)
    assert driver.sources([patient, hasty, late]) == [DEFAULT, DEFAULT, DEFAULT]


def test_a_batch_that_fills_is_sent_at_its_first_deadline() -> None:
    driver = Driver(NoRedundancy(2, 1), 1, batch_size=3, window_s=1.0)
    ask(driver)
    hasty = ask(driver, deadline_s=0.1)
    driver.until(0.1)
    assert driver.sources([hasty]) == [DEFAULT] and len(driver.placed) == 1
