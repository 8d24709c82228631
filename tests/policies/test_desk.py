"""The desk: queues, instances that come and go, batches, deadlines and timers."""

import gc
import math
from collections.abc import Iterator
from random import Random

import pytest

from parity_exp.policies import Hedged, NoRedundancy, Parity, Replication, SharedParity
from parity_exp.policies.desk import RETRY_S, Desk
from parity_exp.policies.policy import AnswerSource, Batch, Policy, Role, State, Work
from parity_exp.policies.queues import Board, Queues, RoundRobin, SingleQueue
from parity_exp.policies.queues.in_order import COMPACT
from tests.policies.desk_driver import Driver, alive

QUEUES = [SingleQueue, RoundRobin]

DEFAULT, OWN, ERROR = AnswerSource.DEFAULT, AnswerSource.OWN, AnswerSource.ERROR


@pytest.fixture
def without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---- one queue


def test_a_single_queue_serves_in_the_order_of_arrival() -> None:
    driver = Driver(NoRedundancy(2, 1), 2)
    driver.arrive(5)
    assert [task.batch.queries for task in driver.on_instances()] == [(0,), (1,)]
    driver.finish(driver.task_of(1))
    driver.finish(driver.task_of(2))
    assert [task.batch.queries for task in driver.on_instances()] == [(0,), (3,)]
    assert driver.sources(range(5)) == [None, OWN, OWN, None, None]


def test_a_task_goes_to_the_instance_that_has_been_free_for_longest() -> None:
    driver = Driver(NoRedundancy(2, 1), 3)
    driver.arrive(3)
    for query in (2, 0, 1):
        driver.finish(driver.task_of(query))
    driver.arrive(3)
    assert [task.instance for task in driver.placed] == [0, 1, 2, 2, 0, 1]


def test_no_instance_works_at_two_tasks_while_another_has_none() -> None:
    driver = Driver(NoRedundancy(2, 1), 3, prefetch=2)
    driver.arrive(2)
    assert sorted(task.instance for task in driver.placed) == [0, 1]
    driver.arrive(3)
    assert [len(tasks) for tasks in driver.running] == [2, 2, 1]
    driver.arrive(2)
    assert [len(tasks) for tasks in driver.running] == [2, 2, 2]
    assert not driver.tasks_of(6)
    for task in list(driver.running[1]):
        driver.finish(task)
    assert [len(tasks) for tasks in driver.running] == [2, 1, 2]
    driver.finish(driver.running[0][0])
    driver.finish(driver.running[0][0])
    driver.arrive(1)
    assert [len(tasks) for tasks in driver.running] == [1, 1, 2]


@pytest.mark.parametrize("prefetch", [1, 2])
def test_an_instance_that_rests_gets_low_priority_work_only(prefetch: int) -> None:
    driver = Driver(SharedParity(2, 1, reserve=0, delay_ms=1e6), 2, prefetch=prefetch)  # 3 instances
    driver.desk.rest(0)
    driver.arrive(2)
    (parity,) = driver.parities()
    assert parity.instance == 0 and {task.instance for task in driver.placed} == {0, 1, 2}
    driver.finish(parity)
    driver.arrive(2 * prefetch)
    assert not [task for task in driver.running[0] if not task.low]
    driver.desk.trust(0)
    driver.settle()
    assert [task for task in driver.running[0] if not task.low]


def test_an_instance_that_rests_helps_where_nobody_else_does() -> None:
    driver = Driver(NoRedundancy(2, 1), 2)
    driver.desk.rest(1)
    driver.arrive(3)
    assert driver.running[1] == [], "two wait, for two instances"
    driver.arrive(1)
    assert driver.running[1] != [], "three wait"
    driver.finish(driver.running[1][0])
    driver.kill(0)
    assert driver.running[1] != [], "the other one is gone"
    driver.kill(1)
    driver.up(1)
    assert driver.running[1] != []
    driver.up(0)
    driver.finish(driver.running[1][0])
    assert driver.running[0] != [] and driver.running[1] == []


@pytest.mark.parametrize("prefetch", [1, 2])
def test_low_priority_work_leaves_the_reserve_alone(prefetch: int) -> None:
    driver = Driver(SharedParity(2, 1, reserve=1), 2, prefetch=prefetch)  # 3 instances, the third is kept free
    driver.arrive(2)
    assert driver.parities() == []
    driver = Driver(SharedParity(2, 1, reserve=1), 4, prefetch=prefetch)  # 6 instances
    driver.arrive(2)
    (parity,) = driver.parities()
    assert driver.running[parity.instance] == [parity]


def test_low_priority_work_does_not_queue_behind_a_query_on_an_instance() -> None:
    driver = Driver(SharedParity(4, 2, reserve=0), 2, prefetch=2)  # 3 instances
    driver.arrive(4)
    assert driver.parities() == []
    driver.finish(driver.running[1][0])
    assert len(driver.parities()) == 1


def test_with_a_reserve_of_nothing_low_priority_work_takes_the_last_idle_instance() -> None:
    driver = Driver(SharedParity(2, 1, reserve=0), 2)  # 3 instances
    driver.arrive(2)
    assert len(driver.parities()) == 1


@pytest.mark.parametrize("queues", QUEUES)
def test_copies_of_a_batch_go_to_different_instances(queues: type[Queues]) -> None:
    driver = Driver(Replication(2, 1, factor=2), 2, queues=queues, prefetch=2)
    driver.arrive(4)
    assert len(driver.placed) == 8
    for query in range(4):
        assert len({task.instance for task in driver.tasks_of(query)}) == 2


def test_a_copy_is_placed_beside_its_sibling_when_no_other_instance_is_free() -> None:
    driver = Driver(Replication(2, 1, factor=2), 1, prefetch=2)
    driver.kill(1)
    driver.arrive(1)
    assert [task.instance for task in driver.on_instances()] == [0, 0]


# ---- a queue an instance


def test_round_robin_gives_tasks_to_instances_in_turn_however_busy_they_are() -> None:
    driver = Driver(NoRedundancy(2, 1), 2, queues=RoundRobin)
    driver.arrive(6)
    driver.finish(driver.running[0][0])
    driver.finish(driver.running[0][0])
    driver.finish(driver.running[0][0])
    assert driver.running[0] == []
    assert [task.batch.queries for task in driver.on_instances()] == [(1,)]
    for _ in range(3):
        driver.finish(driver.running[1][0])
    assert driver.sources(range(6)) == [OWN] * 6


def test_round_robin_sends_what_a_dead_instance_had_in_its_queue_to_the_others() -> None:
    driver = Driver(NoRedundancy(2, 1), 3, queues=RoundRobin)
    driver.arrive(9)
    driver.kill(1)
    for _ in range(20):
        for task in driver.on_instances():
            driver.finish(task)
    assert driver.sources(range(9)) == [OWN] * 9
    assert all(task.instance != 1 for task in driver.placed[3:])


def test_round_robin_takes_urgent_copies() -> None:
    driver = Driver(Hedged(2, 1, delay_ms=10, urgent=True), 2, queues=RoundRobin)  # 3 instances
    driver.arrive(6)
    driver.until(0.01)
    late = [task.batch.queries for task in driver.placed]
    for task in driver.on_instances():
        driver.finish(task)
    copies = driver.on_instances()
    assert [task.batch.queries for task in copies] != late
    for _ in range(6):
        for task in driver.on_instances():
            driver.finish(task)
    assert driver.sources(range(6)) == [OWN] * 6


def test_round_robin_runs_an_urgent_copy_before_what_had_queued_on_its_instance() -> None:
    driver = Driver(Hedged(2, 2, delay_ms=10, urgent=True), 1, queues=RoundRobin)  # 2 instances
    driver.arrive(4)
    driver.until(0.01)  # queries 0 and 1 are late: copies wait at the head of the other instance's queue
    assert not driver.tasks_of(2)
    (first, second) = driver.on_instances()
    driver.kill(first.instance)
    driver.finish(second)
    assert driver.on_instances()[0].batch.queries == (0,)


@pytest.mark.parametrize("prefetch", [1, 2])
def test_round_robin_leaves_out_instances_that_rest(prefetch: int) -> None:
    driver = Driver(NoRedundancy(2, 1), 3, queues=RoundRobin, prefetch=prefetch)
    driver.arrive(3 * prefetch + 3)  # one waits for each
    driver.desk.rest(0)
    driver.settle()
    for task in list(driver.running[0]):
        driver.finish(task)
    assert driver.running[0] == [], "what it had queued has gone to the others"
    for instance in (1, 2):
        while driver.running[instance]:
            driver.finish(driver.running[instance][0])
    driver.arrive(3)
    assert driver.running[0] == []
    driver.desk.trust(0)
    driver.arrive(3)
    assert driver.running[0] != []


def test_round_robin_gives_low_priority_work_to_instances_that_rest() -> None:
    driver = Driver(SharedParity(2, 1, reserve=0, delay_ms=1e6), 2, queues=RoundRobin)  # 3 instances
    driver.desk.rest(2)
    driver.arrive(2)
    (parity,) = driver.parities()
    assert driver.running[2] == [parity]


def test_round_robin_takes_an_instance_that_rests_where_nobody_else_is_there_or_too_much_waits() -> None:
    driver = Driver(NoRedundancy(2, 1), 2, queues=RoundRobin)
    driver.desk.rest(1)
    driver.arrive(3)
    assert driver.running[1] == [], "two wait, for two instances"
    driver.arrive(2)
    assert len(driver.running[1]) == 1, "more wait"
    driver.arrive(2)
    assert len(driver.on_instances()) == 2 and driver.sources(range(7)) == [None] * 7
    driver.kill(0)
    while driver.on_instances():
        driver.finish(driver.on_instances()[0])
    assert driver.sources(range(7)) == [OWN] * 7
    driver.up(0)
    driver.arrive(1)
    assert driver.running[0] != [] and driver.running[1] == []
    driver.desk.rest(0)  # all rest
    driver.arrive(1)
    assert len(driver.on_instances()) == 2


@pytest.mark.parametrize("prefetch", [1, 2])
def test_round_robin_runs_low_priority_work_on_idle_instances_only(prefetch: int) -> None:
    driver = Driver(SharedParity(2, 1), 2, queues=RoundRobin, prefetch=prefetch)  # 3 instances
    driver.arrive(2)
    assert [len(tasks) for tasks in driver.running] == [1, 1, 1]
    assert len(driver.parities()) == 1
    driver.arrive(2)  # the next parity query falls to an instance that has a query
    assert len(driver.parities()) == 1


# ---- cancelled tasks


class CancelsEverySecond(NoRedundancy):
    """Cancels tasks as soon as they are queued, and answers their batches."""

    def arrived(self, batch: Batch, now_s: float) -> None:
        super().arrived(batch, now_s)
        if batch.queries[0] % 2:
            self.actions.respond(batch, AnswerSource.ERROR, None)
            self.cancel_tasks(batch)


@pytest.mark.parametrize("queues", QUEUES)
@pytest.mark.parametrize("instances_up", [0, 2])
@pytest.mark.usefixtures("without_collection")
def test_cancelled_tasks_do_not_stay_in_queues(queues: type[Queues], instances_up: int) -> None:
    driver = Driver(CancelsEverySecond(2, 1), 2, queues=queues)
    driver.kill(*range(instances_up, 2))
    before = alive()
    queries = 4_000
    driver.arrive(queries)
    driver.responses.clear()
    assert alive() - before <= 2 * queries + 4 * COMPACT
    driver.until(61)
    driver.up(0, 1)
    while driver.on_instances():
        for task in driver.on_instances():
            driver.finish(task)
    assert all(task.batch.queries[0] % 2 == 0 for task in driver.placed)
    driver.placed.clear()
    driver.responses.clear()
    assert alive() - before <= 4 * COMPACT


@pytest.mark.parametrize("queues", QUEUES)
@pytest.mark.usefixtures("without_collection")
def test_parity_queries_for_instances_that_never_come_back_do_not_pile_up(queues: type[Queues]) -> None:
    driver = Driver(Parity(2, 1), 2, queues=queues)
    driver.kill(2)
    before = alive()
    for _ in range(2_000):
        driver.arrive(2)
        for task in driver.on_instances():
            driver.finish(task)
        driver.until(driver.now_s + 0.001)
    driver.placed.clear()
    driver.responses.clear()
    assert len(driver.answers) == 4_000
    assert alive() - before <= 4 * COMPACT


# ---- instances that refuse


@pytest.mark.parametrize("queues", QUEUES)
def test_a_refused_task_is_placed_again_and_ends_once(queues: type[Queues]) -> None:
    driver = Driver(NoRedundancy(2, 1), 1, queues=queues, prefetch=2)
    driver.arrive(3)
    first, second = driver.on_instances()
    driver.refuse(second)
    driver.settle()
    assert driver.on_instances() == [first], "an instance that refused gets nothing until it has done a task"
    driver.finish(first)
    assert [task.batch.queries for task in driver.on_instances()] == [(1,), (2,)]
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources(range(3)) == [OWN] * 3


def test_a_refused_task_goes_to_another_free_instance_at_once() -> None:
    driver = Driver(NoRedundancy(2, 1), 2)
    driver.arrive(1)
    task = driver.task_of(0)
    driver.refuse(task)
    driver.settle()
    assert driver.task_of(0) is task
    assert task.instance == 1


@pytest.mark.parametrize("queues", QUEUES)
def test_an_instance_that_refuses_while_it_has_nothing_to_do_is_asked_again(queues: type[Queues]) -> None:
    driver = Driver(NoRedundancy(2, 1), 1, queues=queues)
    driver.arrive(1)
    for turn in range(3):
        driver.refuse(driver.task_of(0))
        driver.settle()
        assert driver.on_instances() == []
        assert driver.desk.wakes_s() == pytest.approx(RETRY_S * (turn + 1))
        driver.until(driver.desk.wakes_s())
    driver.finish(driver.task_of(0))
    driver.arrive(1)
    assert len(driver.on_instances()) == 1
    assert driver.desk.wakes_s() > 1


@pytest.mark.parametrize("queues", QUEUES)
def test_an_instance_that_refused_and_died_comes_back_with_all_its_places(queues: type[Queues]) -> None:
    driver = Driver(NoRedundancy(2, 1), 1, queues=queues, prefetch=2)
    driver.arrive(3)
    driver.refuse(driver.task_of(1))
    driver.kill(0)
    driver.up(0)
    assert len(driver.running[0]) == 2
    driver.until(1)
    assert len(driver.running[0]) == 2


def test_a_refusal_that_comes_after_the_news_of_the_instances_death_is_too_late() -> None:
    driver = Driver(NoRedundancy(2, 1), 2)
    driver.arrive(1)
    (task,) = driver.placed
    driver.kill(0)  # the task was lost, and sent again
    driver.desk.refused(task)
    driver.settle()
    assert task.state is State.FAILED
    assert len(driver.on_instances()) == 1


# ---- instances that come and go


@pytest.mark.parametrize("queues", QUEUES)
@pytest.mark.parametrize("prefetch", [1, 3])
def test_work_waits_while_all_instances_are_down(queues: type[Queues], prefetch: int) -> None:
    driver = Driver(NoRedundancy(2, 1), 2, queues=queues, prefetch=prefetch)
    driver.arrive(7)
    driver.kill(0, 1)
    driver.arrive(3)
    assert driver.on_instances() == []
    driver.up(1)
    assert len(driver.running[1]) == prefetch
    while driver.on_instances():
        driver.finish(driver.on_instances()[0])
    assert driver.sources(range(10)) == [OWN] * 10


@pytest.mark.parametrize("queues", QUEUES)
def test_news_that_is_no_news_changes_nothing(queues: type[Queues]) -> None:
    driver = Driver(NoRedundancy(2, 1), 2, queues=queues)
    driver.arrive(5)
    driver.up(0, 1)
    assert [len(tasks) for tasks in driver.running] == [1, 1]
    driver.kill(0)
    driver.kill(0)
    driver.up(0)
    driver.up(0)
    driver.arrive(4)
    assert [len(tasks) for tasks in driver.running] == [1, 1]
    while driver.on_instances():
        driver.finish(driver.on_instances()[0])
    assert driver.sources(range(9)) == [OWN] * 9


@pytest.mark.parametrize("queues", QUEUES)
def test_everything_that_a_dead_instance_had_is_sent_again_in_order(queues: type[Queues]) -> None:
    driver = Driver(NoRedundancy(2, 1), 2, queues=queues, prefetch=3)
    driver.arrive(6)
    lost = [task.batch.queries for task in driver.running[0]]
    driver.kill(0)
    driver.up(0)
    while driver.on_instances():
        driver.finish(driver.on_instances()[0])
    again = driver.placed[6:]
    assert [task.batch.queries for task in again] == lost
    assert all(task.tries == 1 for task in again)


def test_one_role_without_instances_does_not_hold_up_the_other() -> None:
    driver = Driver(Parity(2, 1), 2)
    driver.kill(2)
    driver.arrive(2)
    for task in driver.on_instances():
        driver.finish(task)
    assert driver.sources(range(2)) == [OWN, OWN]


# ---- batches


def test_a_batch_is_sent_when_it_is_full_or_its_window_closes() -> None:
    driver = Driver(NoRedundancy(2, 1), 2, batch_size=3, window_s=0.01)
    driver.arrive(2)
    assert driver.on_instances() == []
    assert driver.desk.wakes_s() == pytest.approx(0.01)
    driver.until(0.009)
    driver.arrive(1)
    assert [task.batch.queries for task in driver.on_instances()] == [(0, 1, 2)]
    driver.until(0.02)
    driver.arrive(1)
    driver.until(0.029)
    assert len(driver.on_instances()) == 1
    driver.until(0.031)
    assert [task.batch.queries for task in driver.on_instances()] == [(0, 1, 2), (3,)]
    assert driver.on_instances()[1].placed_s == pytest.approx(0.03)


def test_each_query_of_a_batch_has_its_own_deadline() -> None:
    driver = Driver(NoRedundancy(2, 1), 1, batch_size=3, window_s=1, slo_s=0.1)
    driver.arrive()
    driver.until(0.02)
    driver.arrive()
    driver.until(0.04)
    driver.arrive()
    task = driver.task_of(0)
    driver.until(0.13)
    assert driver.answers == {
        0: (DEFAULT, pytest.approx(0.1)),
        1: (DEFAULT, pytest.approx(0.12)),
    }
    driver.finish(task)
    assert driver.sources(range(3)) == [DEFAULT, DEFAULT, OWN]
    assert driver.desk.unanswered == 0


def test_deadlines_hold_for_queries_whose_batch_is_still_forming() -> None:
    driver = Driver(NoRedundancy(2, 1), 1, batch_size=2, window_s=10, slo_s=0.1)
    driver.arrive()
    driver.until(5)
    assert driver.answers == {0: (DEFAULT, pytest.approx(0.1))}


def test_deadlines_count_from_the_scheduled_arrival() -> None:
    desk = Desk(NoRedundancy(2, 1), 1, slo_s=0.1)
    desk.arrive(0, 0.05, 1.0)
    desk.wake(1.0)
    assert [response.source for response in desk.responses] == [DEFAULT]
    desk.place(1.0)
    assert desk.placements == [], "what has been answered is not worked at"


def test_a_late_answer_after_the_default_is_not_given() -> None:
    driver = Driver(NoRedundancy(2, 1), 1, slo_s=0.1)
    driver.arrive(2)
    task = driver.task_of(0)
    driver.until(0.1)
    assert driver.sources(range(2)) == [DEFAULT, DEFAULT]
    driver.finish(task)
    assert driver.on_instances() == []
    assert len(driver.responses) == 2


# ---- time


def test_the_desk_wants_to_be_woken_at_the_first_of_window_timer_and_deadline() -> None:
    desk = Desk(Hedged(2, 1, delay_ms=30), 2, batch_size=2, window_s=0.02, slo_s=1)
    assert desk.wakes_s() == math.inf
    desk.arrive(0, 0.0, 0.0)
    assert desk.wakes_s() == pytest.approx(0.02)
    desk.wake(0.02)
    desk.place(0.02)
    assert desk.wakes_s() == pytest.approx(0.05)
    desk.wake(0.05)
    assert desk.wakes_s() == pytest.approx(1.0)
    desk.wake(1.0)
    assert desk.unanswered == 0
    assert desk.wakes_s() == math.inf


class CountsTimers(NoRedundancy):
    """Sets timers, out of order, and notes when it is called."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.calls: list[tuple[int, float]] = []

    def arrived(self, batch: Batch, now_s: float) -> None:
        super().arrived(batch, now_s)
        for delay_s in (0.3, 0.1, 0.2):
            self.actions.set_timer(now_s + delay_s, batch)

    def timer(self, batch: Batch, now_s: float) -> None:
        self.calls.append((batch.queries[0], now_s))


def test_timers_come_in_order_and_not_for_batches_that_have_been_answered() -> None:
    policy = CountsTimers()
    driver = Driver(policy, 2)
    driver.arrive(2)
    driver.until(0.15)
    driver.finish(driver.task_of(1))
    driver.until(1)
    assert [call[0] for call in policy.calls] == [0, 1, 0, 0]
    assert [call[1] for call in policy.calls] == pytest.approx([0.1, 0.1, 0.2, 0.3])


def test_each_frontend_hears_once_what_the_others_have_told() -> None:
    board = Board(2, 3)
    desks = [Desk(NoRedundancy(2, 1), 2, board=board, frontend=number, frontends=3) for number in range(3)]
    first, second = (0.0, 1.0, 2.0, 3.0), (4.0, 5.0, 6.0, 7.0)
    desks[0].tell(first)
    desks[2].tell(second)
    assert list(desks[1].hear()) == [(0, first), (2, second)]
    assert list(desks[0].hear()) == [(2, second)], "not what it has told itself"
    desks[0].tell(second)
    assert list(desks[1].hear()) == [(0, second)]
    assert list(desks[1].hear()) == []


class DispatchesOnPlacement(NoRedundancy):
    """Has a second task done whenever one is placed: actions are allowed in every event."""

    def roles(self, base_instances: int) -> list[Role]:
        return [Role("second", 1, ("base",)), Role("base", base_instances, ("base",))]

    def placed(self, task: Work, now_s: float) -> None:
        if task.role == "base" and task.batch is not None:
            self.dispatch(Work("base", "second", task.batch))


def test_timers_that_are_set_in_any_order_come_in_the_order_of_time() -> None:
    random = Random(1)

    class Timed(NoRedundancy):
        called: list[tuple[float, int]] = []  # noqa: RUF012

        def timer(self, batch: Batch, now_s: float) -> None:
            self.called.append((now_s, batch.queries[0]))
            if len(self.called) % 5 == 0:
                self.actions.set_timer(now_s + 0.5, batch)

    policy = Timed(2, 1)
    driver = Driver(policy, 4)
    driver.arrive(8)
    waiting = [driver.task_of(query).batch for query in range(4)]
    set_s = [(random.choice([0.1, 0.2, 0.25, 0.3, 0.7]), batch) for _ in range(10) for batch in waiting]
    for at_s, batch in set_s:
        assert batch is not None
        policy.actions.set_timer(at_s, batch)
    driver.until(0.45)
    # Those of the same time in the order in which they were set.
    in_order = sorted((at_s, place, batch) for place, (at_s, batch) in enumerate(set_s) if at_s <= 0.45)
    assert policy.called == [(at_s, batch.queries[0]) for at_s, _, batch in in_order if batch is not None]
    driver.finish(driver.task_of(0))
    policy.called.clear()
    driver.until(2.0)
    assert policy.called == sorted(policy.called, key=lambda call: call[0])
    assert {query for _, query in policy.called} == {1, 2, 3}


def test_what_instances_have_is_counted_and_lost_in_order() -> None:
    driver = Driver(NoRedundancy(2, 1), 2, prefetch=3)
    driver.arrive(6)
    assert driver.desk.pending == [3, 3]
    first, second, third = driver.running[0]
    driver.finish(first)
    assert driver.desk.pending == [2, 3]
    driver.arrive(1)
    fourth = driver.running[0][-1]
    driver.finish(third)
    assert driver.desk.pending == [2, 3]
    driver.kill(0)
    assert driver.desk.pending == [0, 3]
    assert [second.state, fourth.state] == [State.FAILED, State.FAILED]
    driver.up(0)
    assert [task.batch for task in driver.running[0]] == [second.batch, fourth.batch]
    assert driver.desk.pending == [2, 3]


def test_who_is_told_of_answers_at_once_finds_no_responses() -> None:
    told: list[tuple[tuple[int, ...], list[int], AnswerSource, Work | None]] = []
    desk = Desk(
        NoRedundancy(2, 1),
        2,
        slo_s=0.3,
        batch_size=2,
        tells=lambda batch, elements, source, work: told.append((batch.queries, list(elements), source, work)),
    )
    for query in range(4):
        desk.arrive(query, query / 10, query / 10)
    desk.place(0.3)
    first, _ = desk.placements
    desk.wake(0.31)  # the first query has its default
    desk.finished(first, 0.32)
    assert told == [((0, 1), [0], DEFAULT, None), ((0, 1), [1], OWN, first)]
    assert not desk.responses and desk.unanswered == 2


def test_a_policy_may_dispatch_while_a_task_is_placed() -> None:
    driver = Driver(DispatchesOnPlacement(2, 1), 1)
    driver.arrive(1)
    driver.settle()
    assert sorted(task.role for task in driver.on_instances()) == ["base", "second"]


def test_roles_number_the_instances_in_order() -> None:
    desk = Desk(Parity(2, 2), 3)
    assert [role.name for role in desk.roles] == ["base", "parity"]
    assert desk.held == [("base",)] * 3 + [("parity-0", "parity-1")] * 3


@pytest.mark.parametrize("policy", [NoRedundancy(2, 1), Hedged(2, 1, delay_ms=1), Parity(2, 1), SharedParity(2, 1)])
@pytest.mark.usefixtures("without_collection")
def test_a_desk_that_has_nothing_to_do_holds_no_more_than_a_few_cancelled_tasks(policy: Policy) -> None:
    before = alive()
    driver = Driver(policy, 2, slo_s=0.5)
    for _ in range(500):
        driver.arrive(4)
        driver.until(driver.now_s + 0.01)
        while driver.on_instances():
            driver.finish(driver.on_instances()[-1])
    driver.placed.clear()
    driver.responses.clear()
    driver.until(driver.now_s + 1)
    assert driver.desk.wakes_s() == math.inf
    assert alive() - before <= 3 * COMPACT
