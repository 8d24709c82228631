"""The policy for non-systematic codes, with instances that do what a test says."""

import pytest
import torch

from parity_exp.coding import BerrutCode
from parity_exp.policies import Coded
from parity_exp.policies.desk import Response
from parity_exp.policies.policy import AnswerSource, Batch, Group, State, Work
from parity_exp.serving.group_coder import WholeGroupCoder
from parity_exp.serving.spent import Spent
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, DEFAULT, ERROR = (
    AnswerSource.OWN,
    AnswerSource.RECONSTRUCTED,
    AnswerSource.DEFAULT,
    AnswerSource.ERROR,
)


def coded(k: int = 2, n: int = 3, stragglers: int = 1, fill_ms: float = 50) -> Coded:
    return Coded(k, 1, range(n), n - stragglers, fill_ms)


def instances(policy: Coded, base_instances: int) -> int:
    (role,) = policy.roles(base_instances)
    return role.instances


def test_nothing_is_sent_before_the_group_is_full_and_then_n_coded_queries() -> None:
    driver = Driver(Coded(2, 1, [0, 2, 1], 2), 4)
    driver.arrive(1)
    assert driver.on_instances() == []
    driver.arrive(1)
    assert [(task.model, task.batch, task.row) for task in driver.on_instances()] == [
        ("base", None, 0), ("base", None, 2), ("base", None, 1),
    ]  # fmt: skip


def test_the_first_answers_decode_the_whole_group_whichever_they_are() -> None:
    driver = Driver(coded(k=3, n=5, stragglers=2), 8)
    driver.arrive(3)
    tasks = driver.on_instances()
    for task in (tasks[4], tasks[1]):
        driver.finish(task)
    assert driver.answers == {}
    driver.finish(tasks[2])
    assert driver.sources(range(3)) == [RECONSTRUCTED] * 3
    assert [response.place for response in driver.responses] == [0, 1, 2]
    assert driver.responses[0].parities == (None, tasks[1], tasks[2], None, tasks[4])
    driver.finish(tasks[0])
    driver.finish(tasks[3])
    assert len(driver.responses) == 3


def test_late_coded_queries_that_are_queued_are_cancelled() -> None:
    driver = Driver(coded(k=2, n=4, stragglers=2), 1)
    driver.arrive(2)
    assert [task.row for task in driver.on_instances()] == [0, 1]
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2
    (late,) = driver.on_instances()
    assert late.row == 2, "it had begun"
    driver.finish(late)
    assert driver.on_instances() == []


def test_a_lost_coded_query_is_sent_again() -> None:
    driver = Driver(coded(), 4)
    driver.arrive(2)
    first, second, third = driver.on_instances()
    driver.kill(first.instance)
    driver.fail(second)
    again = [task for task in driver.on_instances() if task.tries == 1]
    assert sorted(task.row for task in again) == [0, 1]
    driver.finish(third)
    driver.finish(again[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2


def test_a_group_that_does_not_fill_in_time_is_sent_as_it_is() -> None:
    driver = Driver(coded(k=3, n=4, fill_ms=20), 4)
    driver.arrive(1)
    driver.until(0.015)
    driver.arrive(1)
    assert driver.on_instances() == []
    driver.until(0.021)
    assert [task.batch.queries for task in driver.on_instances() if task.batch is not None] == [(0,), (1,)]
    driver.fail(driver.task_of(0))
    driver.finish(driver.task_of(0))
    driver.finish(driver.task_of(1))
    assert driver.sources(range(2)) == [OWN, OWN]
    driver.arrive(3)
    assert len(driver.on_instances()) == 4, "the next group is a new one"


def test_a_full_group_is_not_given_up() -> None:
    driver = Driver(coded(fill_ms=20), 4)
    driver.arrive(2)
    driver.until(1.0)
    assert len(driver.placed) == 3


def test_queries_of_a_group_that_cannot_be_decoded_are_sent_as_they_are() -> None:
    """One of them makes the model raise: the other one gets its answer, and that one an error."""
    driver = Driver(coded(), 4)
    driver.arrive(2)
    while all(task.batch is None for task in driver.on_instances()):
        driver.fail(driver.on_instances()[0])
    assert {task.state for task in driver.placed if task.batch is None} <= {State.FAILED, State.PLACED}
    driver.finish(driver.task_of(1))
    driver.fail_until_given_up(0)
    assert driver.sources(range(2)) == [ERROR, OWN]


def test_answers_that_are_enough_are_waited_for_when_one_is_given_up() -> None:
    driver = Driver(coded(), 4)
    driver.arrive(2)
    for _ in range(5):
        (task,) = (task for task in driver.on_instances() if task.row == 0)
        driver.fail(task)
    assert [task.row for task in driver.on_instances()] == [1, 2]
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2


def test_at_the_deadline_there_is_the_default_and_queued_work_is_spared() -> None:
    driver = Driver(coded(), 1, slo_s=0.1)
    driver.arrive(2)
    running = driver.on_instances()
    assert len(running) == 2
    driver.until(0.2)
    assert driver.sources(range(2)) == [DEFAULT] * 2
    for task in running:
        driver.finish(task)
    assert driver.on_instances() == []


def test_a_query_with_a_deadline_before_its_group_is_full_gets_the_default() -> None:
    driver = Driver(coded(fill_ms=1e4), 2, slo_s=0.1)
    driver.arrive(1)
    driver.until(0.5)
    driver.arrive(2)
    assert driver.sources(range(3)) == [DEFAULT, None, None]
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources(range(3)) == [DEFAULT, RECONSTRUCTED, RECONSTRUCTED]


def test_batches_of_different_sizes_are_covered_to_the_last_query() -> None:
    driver = Driver(coded(), 4, batch_size=3, window_s=0.01)
    driver.arrive(4)
    driver.until(0.02)
    assert driver.on_instances()[0].group is not None
    assert driver.on_instances()[0].group.elements == 3
    for task in driver.on_instances()[:2]:
        driver.finish(task)
    assert driver.sources(range(4)) == [RECONSTRUCTED] * 4
    assert [list(response.elements) for response in driver.responses] == [[0, 1, 2], [0]]


@pytest.mark.parametrize(("m", "equal", "own"), [(4, 6, 8), (5, 8, 10), (12, 18, 24)])
def test_machines_are_those_of_other_policies_or_as_many_as_its_tasks_need(m: int, equal: int, own: int) -> None:
    assert instances(Coded(2, 1, range(4), 2), m) == equal
    assert instances(Coded(2, 1, range(4), 2, equal_resources=False), m) == own


def test_a_negative_time_to_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="fill_ms=-1"):
        coded(fill_ms=-1)


# ---- encoding and decoding


def answered_group(coder: WholeGroupCoder, queries: torch.Tensor, sizes: list[int]) -> tuple[Group, list[Work]]:
    """A group whose coded queries have been answered by a model that returns what it sees, all but the last."""
    group = Group(0, 3)
    first = 0
    for size in sizes:
        group.members.append(Batch(tuple(range(first, first + size)), 0.0))
        first += size
    group.elements = max(sizes)
    tasks = []
    for row in range(2):
        task = Work("base", "base", group=group, row=row)
        task.result = coder.encode(group, row, queries.__getitem__).clone()
        tasks.append(task)
    return group, tasks


def test_serving_decodes_a_group_once_and_to_what_the_code_says() -> None:
    code = BerrutCode(2, 1)
    coder = WholeGroupCoder(code, 2)
    queries = torch.randn(3, 4)
    group, tasks = answered_group(coder, queries, [2, 1])
    answered = torch.tensor([[True, True, False]])
    # The second batch has one query; it stands in for a second one.
    expected = [
        code.decode(code.encode(queries[None, [0, 2]]), answered)[0],
        code.decode(code.encode(queries[None, [1, 2]]), answered)[0],
    ]
    for place, batch in enumerate(group.members):
        for element in range(len(batch)):
            response = Response(batch, (element,), RECONSTRUCTED, tasks[1], 0, place, (None, None), (*tasks, None))
            torch.testing.assert_close(coder.decode(response, element), expected[element][place])
    assert len(coder.encode_s) == 2 and len(coder.decode_s) == 2
    spent = Spent(encode_s=coder.encode_s, decode_s=coder.decode_s)
    assert {"encode_us", "decode_us"} <= spent.times().keys()


# ---- with what is there when time is up


def anytime() -> Driver:
    return Driver(Coded(2, 1, range(4), 3, fill_ms=50, anytime_ms=30), 8)


def test_a_group_whose_time_is_up_is_decoded_from_what_is_there() -> None:
    driver = anytime()
    driver.arrive(1)
    driver.until(0.01)
    driver.arrive(1)
    driver.finish(driver.on_instances()[1])
    driver.until(0.029)
    assert driver.answers == {}
    driver.until(0.03)
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2
    assert [task is not None for task in driver.responses[0].parities] == [False, True, False, False]


def test_a_group_without_an_answer_when_time_is_up_is_decoded_from_the_first_that_comes() -> None:
    driver = anytime()
    driver.arrive(2)
    driver.until(0.1)
    assert driver.answers == {}
    driver.finish(driver.on_instances()[2])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2


def test_in_time_a_group_waits_for_as_many_answers_as_decode_it_well() -> None:
    driver = anytime()
    driver.arrive(2)
    for task in driver.on_instances()[:2]:
        driver.finish(task)
    assert driver.answers == {}
    driver.finish(driver.on_instances()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2
    driver.until(0.1)
    assert len(driver.responses) == 2


def test_a_time_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="anytime_ms=-1"):
        Coded(2, 1, range(4), 3, anytime_ms=-1)
