"""The policy that adapts, driven by events."""

import random
from collections.abc import Callable

import pytest

from parity_exp.policies import (
    Adaptive,
)
from parity_exp.policies.policy import Policy, State, Work
from tests.policies.desk_driver import Driver


def served_one_by_one(policy: Policy, share: float, instances: int, slow: Callable[[int], bool]) -> Driver:
    """Queries come one by one, so that they keep a share of the instances busy; tasks take 10 ms, slow ones 40."""
    driver = Driver(policy, 2 * instances // 3)
    ends: list[tuple[float, int, Work]] = []
    seen = 0
    for query in range(1_500):
        at_s = query * 0.01 / (share * instances)
        while True:
            for task in driver.placed[seen:]:
                ends.append((task.placed_s + (0.04 if slow(task.instance) else 0.01), task.number, task))
            seen = len(driver.placed)
            if not ends or min(ends)[0] > at_s:
                break
            first = min(ends)
            ends.remove(first)
            driver.until(max(driver.now_s, first[0]))
            driver.finish(first[2])
        driver.until(at_s)
        driver.arrive(1)
    return driver


@pytest.mark.parametrize(("share", "copies", "parity"), [(0.2, True, False), (0.4, False, True), (0.6, False, False)])
def test_what_adaptive_sends_before_anything_is_late_depends_on_the_load(
    share: float, copies: bool, parity: bool
) -> None:
    def slow(_: int) -> bool:
        return random.random() < 0.05

    random.seed(0)
    driver = served_one_by_one(Adaptive(2, 1, delay_ms=1e6), share, 6, slow)
    late = [task for task in driver.placed if task.placed_s > driver.now_s / 2]
    assert (len([task for task in late if task.batch is not None and task.low]) > 100) is copies
    assert (len([task for task in late if task.batch is None]) > 100) is parity


@pytest.mark.parametrize(("reserve", "copied"), [(0, [0, 1]), (1, [0, 1]), (2, [0])])
def test_copies_that_do_not_wait_are_sent_only_where_an_idle_instance_takes_them_at_once(
    reserve: int, copied: list[int]
) -> None:
    policy = Adaptive(2, 1, copy_limit=10, load_limit=10, copies_wait=False, reserve=reserve, delay_ms=1e6)
    driver = Driver(policy, 3)  # of five instances
    for _ in range(4):
        driver.arrive(1)
    copies = [task for task in driver.placed if task.low]
    assert [task.batch.queries[0] for task in copies if task.batch is not None] == copied
    for task in driver.placed:  # to which the last query may come
        driver.finish(task)
    assert len(driver.placed) == 4 + len(copied), "none is left over for later"
    assert set(driver.answers) == {0, 1, 2, 3}


def test_adaptive_sends_no_parity_where_nothing_is_slow() -> None:
    driver = served_one_by_one(Adaptive(2, 1, delay_ms=1e6), 0.4, 6, lambda _: False)
    assert any(task.batch is None for task in driver.placed)
    assert all(task.placed_s < 0.9 * driver.now_s for task in driver.placed if task.batch is None)


def test_a_slow_instance_rests_until_it_has_recovered() -> None:
    recovers = [False]
    policy = Adaptive(2, 1, delay_ms=1e6, copy_limit=0)
    driver = served_one_by_one(policy, 0.4, 6, lambda instance: instance == 3 and not recovers[0])
    assert list(policy.resting.since_s) == [3]
    normal = [task for task in driver.placed[-500:] if not task.low]
    assert sum(task.instance == 3 for task in normal) < 0.05 * len(normal), "some when it is tried again"
    assert any(task.instance == 3 for task in driver.placed[-500:]), "parity queries show how it is"
    for _ in range(30):
        driver.arrive(2)
        for task in driver.on_instances():
            policy.resting.slowness.took(3, 0.01)
            driver.finish(task)
    assert policy.resting.since_s == {}


def test_an_instance_that_rested_long_enough_is_tried_again() -> None:
    policy = Adaptive(2, 1, delay_ms=1e6, copy_limit=0)
    driver = served_one_by_one(policy, 0.6, 6, lambda instance: instance == 3)
    assert policy.resting.since_s or any(task.instance == 3 for task in driver.placed[-100:])
    for task in driver.on_instances():
        driver.finish(task)
    driver.until(driver.now_s + 10)
    driver.arrive(1)
    assert policy.resting.since_s == {}


def test_a_third_copy_goes_out_when_the_second_is_late_as_well() -> None:
    driver = Driver(Adaptive(2, 1, delay_ms=30, copy_limit=0), 4)
    driver.arrive(1)
    driver.until(5)
    assert len(driver.tasks_of(0)) == 3


def test_parity_apart_runs_on_machines_that_do_nothing_else_as_long_as_the_others_keep_up() -> None:
    policy = Adaptive(2, 1, copies_all=False, load_limit=10, skips_rare=False, parity_apart=True, delay_ms=1e6)
    driver = Driver(policy, 4)
    driver.arrive(4)
    on = {task.instance: task.batch is None for task in driver.placed}
    assert on == {0: False, 1: False, 2: False, 3: False, 4: True, 5: True}
    for task in list(driver.placed):
        driver.finish(task)

    driver = Driver(Adaptive(2, 1, copies_all=False, load_limit=10, skips_rare=False, parity_apart=True), 4)
    for _ in range(4):
        driver.arrive(2)
        for task in list(driver.placed):
            if task.state is State.PLACED:
                driver.finish(task)
    assert {task.instance for task in driver.placed if task.batch is None} == {4, 5}, "though others are idle"
    assert {task.instance for task in driver.placed if task.batch is not None} == {0, 1, 2, 3}

    driver = Driver(Adaptive(2, 1, copies_all=False, sends_parity=False, parity_apart=True), 4)
    driver.arrive(4 + 6)
    assert len(driver.placed) == 4
    driver.arrive(1)
    assert [task.instance for task in driver.placed[4:]] == [4], "more were queued than there are instances"


def test_another_way_to_go_gives_machines_that_were_apart_back_and_takes_slow_ones_for_what_they_are() -> None:
    apart, shared = Adaptive(2, 1, parity_apart=True), Adaptive(2, 1, rests=False)
    driver = Driver(apart, 4)
    assert driver.desk.resting == {4, 5}
    shared.go_on_from(apart)
    assert driver.desk.resting == set()
    shared.resting.since_s[5] = 0.0
    driver.desk.queues("shared").rest(5)
    again = Adaptive(2, 1, parity_apart=True)
    again.go_on_from(shared)
    assert driver.desk.resting == {4, 5} and not again.resting.since_s
    again.resting.wake_rested(1e3)
    assert driver.desk.resting == {4, 5}, "it is not tried again like one that rests"
