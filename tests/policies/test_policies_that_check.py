"""Checked and voted policies: when outputs are compared, what waits for that, and what becomes of wrong ones."""

from collections.abc import Collection

import pytest

from parity_exp.policies import CheckedParity, CheckedSharedParity, VotedParity, VotedReplication
from parity_exp.policies.judge import Judge
from parity_exp.policies.policy import TRIES, AnswerSource, Group, Work
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, BACKUP, DEFAULT, ERROR = AnswerSource
WAIT_S = 0.05


class Known(Judge):
    """Knows what is wrong.

    Args:
        places: in every group.
        instances: whose answers differ from those of others.
    """

    def __init__(self, *places: int, instances: Collection[int] = ()) -> None:
        self.places = places
        self.instances = instances
        self.groups: list[int] = []
        self.compared: list[tuple[int, int]] = []

    def suspects(self, group: Group) -> Collection[int]:
        assert None not in (*group.own, *group.parities)
        self.groups.append(group.number)
        return self.places

    def agree(self, task: Work, other: Work) -> bool:
        self.compared.append((task.number, other.number))
        return task.instance not in self.instances and other.instance not in self.instances


# ---- checked


@pytest.mark.parametrize("make", [CheckedParity, CheckedSharedParity])
def test_a_group_is_compared_once_after_its_answers_when_all_outputs_are_there(make: type[CheckedParity]) -> None:
    judge = Known()
    driver = Driver(make(2, 1), 4, judge=judge)
    driver.arrive(2)
    driver.finish(driver.task_of(0))
    driver.finish(driver.task_of(1))
    assert driver.sources([0, 1]) == [OWN, OWN]
    assert judge.groups == []
    (parity,) = driver.parities()
    driver.finish(parity)
    assert judge.groups == [0]


def test_parity_queries_that_are_queued_are_kept_for_the_check() -> None:
    judge = Known()
    driver = Driver(CheckedParity(2, 1), 2, judge=judge)  # one parity instance
    driver.kill(2)
    driver.arrive(2)
    for query in (0, 1):
        driver.finish(driver.task_of(query))
    driver.up(2)
    (parity,) = driver.parities()
    driver.finish(parity)
    assert judge.groups == [0]


def test_a_late_own_prediction_is_compared_with_what_stood_in_for_it() -> None:
    judge = Known(0)
    driver = Driver(CheckedParity(2, 1), 2, judge=judge)
    driver.arrive(2)
    driver.finish(driver.task_of(1))
    (parity,) = driver.parities()
    driver.finish(parity)
    assert driver.sources([0, 1]) == [RECONSTRUCTED, OWN]
    driver.finish(driver.task_of(0))
    assert judge.groups == [0]
    assert len(driver.responses) == 2


@pytest.mark.parametrize("what", ["own", "parity"])
def test_a_group_that_loses_an_output_for_good_is_over_without_a_check(what: str) -> None:
    judge = Known()
    driver = Driver(CheckedParity(2, 1), 2, judge=judge)
    driver.arrive(2)
    if what == "own":
        driver.finish(driver.task_of(1))
        (parity,) = driver.parities()
        driver.finish(parity)
        driver.fail(driver.task_of(0))
    else:
        for query in (0, 1):
            driver.finish(driver.task_of(query))
        for _ in range(TRIES):
            (parity,) = driver.parities()
            driver.fail(parity)
    assert driver.on_instances() == [] and judge.groups == []
    assert driver.responses[0].batch.group is None


def test_the_copy_that_answered_is_the_one_that_is_compared() -> None:
    compared: list[Work | None] = []
    judge = Known()
    judge.suspects = lambda group: compared.extend(group.own) or ()  # type: ignore[method-assign, func-returns-value]
    driver = Driver(CheckedSharedParity(2, 1, delay_ms=30, load_limit=10), 4, judge=judge)
    driver.arrive(2)
    (parity,) = driver.parities()
    driver.until(0.031)
    first, second = driver.tasks_of(0)
    driver.finish(second)
    driver.finish(first)
    driver.finish(driver.tasks_of(1)[0])
    driver.finish(parity)
    assert compared[0] is second


# ---- voted parity


def test_answers_wait_for_the_vote() -> None:
    judge = Known()
    driver = Driver(VotedParity(2, 2), 2, judge=judge)
    driver.arrive(2)
    for query in (0, 1):
        driver.finish(driver.task_of(query))
    first, second = driver.parities()
    driver.finish(first)
    assert driver.answers == {}
    driver.finish(second)
    assert driver.sources([0, 1]) == [OWN, OWN] and judge.groups == [0]


@pytest.mark.parametrize(
    ("wrong", "sources"),
    [((0,), [RECONSTRUCTED, OWN]), ((1,), [OWN, RECONSTRUCTED]), ((3,), [OWN, OWN]), ((), [OWN, OWN])],
)
def test_what_is_outvoted_is_reconstructed_from_the_others(wrong: tuple[int, ...], sources: list[AnswerSource]) -> None:
    driver = Driver(VotedParity(2, 2), 2, judge=Known(*wrong))
    driver.arrive(2)
    for task in driver.on_instances():
        driver.finish(task)
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources([0, 1]) == sources
    for response in driver.responses:
        used = [*response.own, *response.parities]
        assert all(used[place] is None for place in wrong if used)


def test_an_answer_waits_no_longer_than_it_may() -> None:
    judge = Known(0)
    driver = Driver(VotedParity(2, 2, wait_ms=1e3 * WAIT_S), 2, judge=judge)
    driver.arrive(2)
    driver.finish(driver.task_of(0))
    driver.until(0.04)
    late, parity = driver.parities()
    driver.finish(parity)
    driver.until(WAIT_S)
    assert driver.answers == {0: (OWN, WAIT_S)}
    driver.until(0.04 + WAIT_S)
    assert driver.answers[1] == (RECONSTRUCTED, 0.04 + WAIT_S)
    driver.finish(driver.task_of(1))
    driver.finish(late)
    assert judge.groups == [0], "what comes too late to vote is still compared"
    assert len(driver.responses) == 2


def test_a_group_that_cannot_vote_any_more_answers_at_once() -> None:
    judge = Known(0)
    driver = Driver(VotedParity(2, 2), 2, judge=judge)
    driver.arrive(2)
    driver.finish(driver.task_of(0))
    for _ in range(TRIES):
        driver.fail(next(task for task in driver.parities() if task.row == 0))
    assert driver.sources([0, 1]) == [OWN, None]
    driver.finish(driver.task_of(1))
    assert driver.sources([0, 1]) == [OWN, OWN] and judge.groups == []


def test_the_first_of_a_group_that_does_not_fill_is_answered_after_its_time() -> None:
    driver = Driver(VotedParity(2, 2, wait_ms=1e3 * WAIT_S), 2, judge=Known())
    driver.arrive(1)
    driver.finish(driver.task_of(0))
    driver.until(1)
    assert driver.answers == {0: (OWN, WAIT_S)}


def test_elements_that_parity_does_not_cover_keep_their_own_prediction() -> None:
    driver = Driver(VotedParity(2, 2), 4, judge=Known(0), batch_size=2, window_s=0.01)
    driver.arrive(2)
    driver.arrive(1)
    driver.until(0.02)
    for _ in range(2):
        for task in driver.on_instances():
            driver.finish(task)
    assert driver.sources(range(3)) == [RECONSTRUCTED, OWN, OWN]


# ---- voted replication


def test_two_copies_that_agree_answer() -> None:
    judge = Known()
    driver = Driver(VotedReplication(2, 1), 1, judge=judge)
    driver.arrive(1)
    first, second, third = driver.tasks_of(0)
    driver.finish(first)
    assert driver.answers == {}
    driver.finish(second)
    assert driver.sources([0]) == [OWN]
    driver.finish(third)
    assert len(judge.compared) == 1 and len(driver.responses) == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_of_three_copies_a_wrong_one_is_outvoted(order: tuple[int, ...]) -> None:
    driver = Driver(VotedReplication(2, 1), 1, judge=Known(instances=[0]))
    driver.arrive(1)
    for instance in order:
        driver.finish(driver.running[instance][0])
    (response,) = driver.responses
    assert response.work is not None and response.work.instance != 0


def test_copies_that_all_differ_leave_the_first_answer() -> None:
    driver = Driver(VotedReplication(2, 1, factor=2), 1, judge=Known(instances=[0]))
    driver.arrive(1)
    first, second = driver.tasks_of(0)
    driver.finish(first)
    driver.finish(second)
    assert driver.responses[0].work is first


@pytest.mark.parametrize("lost", [False, True])
def test_an_only_copy_waits_no_longer_than_it_may(lost: bool) -> None:
    driver = Driver(VotedReplication(2, 1, factor=2, wait_ms=1e3 * WAIT_S), 1, judge=Known())
    driver.arrive(1)
    driver.finish(driver.tasks_of(0)[0])
    if lost:
        for _ in range(TRIES):
            driver.fail(driver.tasks_of(0)[0])
    driver.until(1)
    assert driver.answers == {0: (OWN, 0.0 if lost else WAIT_S)}
