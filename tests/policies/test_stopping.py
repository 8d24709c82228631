"""Work that is under way and not needed any more is stopped, where instances can be interrupted."""

import pytest

from parity_exp import simulate
from parity_exp.checks import SettingError
from parity_exp.disturbances import Constant, Crash, Slowdown
from parity_exp.load import Poisson
from parity_exp.policies import (
    Adaptive,
    CheckedParity,
    Coded,
    Duplicates,
    Hedged,
    Laedge,
    Parity,
    Reissue,
    Replication,
    SharedParity,
    Tied,
    VotedReplication,
)
from parity_exp.policies.policy import AnswerSource, Policy
from tests.policies.desk_driver import Driver

EVERY = {
    "replication": Replication(2, 1),
    "hedged": Hedged(2, 1, copies=2),
    "reissue": Reissue(2, 1),
    "tied": Tied(2, 1),
    "laedge": Laedge(2, 1),
    "duplicates": Duplicates(2, 1),
    "parity": Parity(2, 1),
    "shared_parity": SharedParity(2, 1),
    "adaptive": Adaptive(2, 1),
    "checked_parity": CheckedParity(2, 1),
    "voted_replication": VotedReplication(2, 1),
    "coded": Coded(2, 1, range(4), 2),
}


def test_the_other_copy_is_stopped_when_the_first_has_answered() -> None:
    driver = Driver(Replication(2, 1), 2, interrupts=True)
    driver.arrive(3)
    first, second = driver.tasks_of(0)
    driver.finish(second)
    assert driver.desk.stops == [first]
    driver.stop(first)
    assert driver.sources([0]) == [AnswerSource.OWN]
    assert len(driver.tasks_of(2)) == 2, "its instance is free"


def test_work_that_was_to_stop_may_be_done_before_or_be_lost() -> None:
    driver = Driver(Replication(2, 1), 2, interrupts=True)
    driver.arrive(2)
    for query in (0, 1):
        driver.finish(driver.tasks_of(query)[0])
    late, lost = driver.desk.stops
    driver.finish(late)
    driver.kill(lost.instance)
    assert driver.on_instances() == [] and driver.sources(range(2)) == [AnswerSource.OWN] * 2


def lose_own(driver: Driver, query: int) -> None:
    """Let a query's own work be lost for good; what else instances have is done."""
    while own := [task for task in driver.on_instances() if not task.low]:
        for task in own:
            if task in driver.tasks_of(query):
                driver.fail(task)
            else:
                driver.finish(task)


def test_a_duplicate_goes_on_where_what_it_duplicates_has_been_lost_for_good() -> None:
    driver = Driver(Duplicates(2, 1), 1, interrupts=True)
    driver.arrive()
    lose_own(driver, 0)
    (duplicate,) = driver.tasks_of(0)
    driver.arrive()
    driver.arrive()
    assert driver.desk.stops == []
    driver.finish(duplicate)
    assert driver.sources([0]) == [AnswerSource.OWN]


def test_a_query_is_tried_again_where_all_is_lost_after_its_duplicate_was_told_to_stop() -> None:
    driver = Driver(Duplicates(2, 1), 1, interrupts=True)
    driver.arrive()
    driver.arrive()
    (duplicate,) = driver.desk.stops
    lose_own(driver, 0)
    assert driver.tasks_of(0) == [duplicate]
    driver.stop(duplicate)
    (again,) = driver.tasks_of(0)
    driver.finish(again)
    assert driver.sources([0]) == [AnswerSource.OWN]


def test_parity_queries_of_a_group_that_is_over_are_stopped() -> None:
    driver = Driver(Parity(2, 1), 2, interrupts=True)
    driver.arrive(2)
    for query in (0, 1):
        driver.finish(driver.task_of(query))
    (parity,) = driver.on_instances()
    assert driver.desk.stops == [parity]
    driver.stop(parity)


def test_what_was_reconstructed_is_stopped_but_not_where_outputs_are_compared() -> None:
    for policy, stops in ((Parity(2, 1), 1), (CheckedParity(2, 1), 0)):
        driver = Driver(policy, 2, interrupts=True)
        driver.arrive(2)
        driver.finish(driver.task_of(0))
        driver.finish(next(task for task in driver.on_instances() if task.batch is None))
        assert driver.sources([1]) == [AnswerSource.RECONSTRUCTED]
        assert len(driver.desk.stops) == stops


def test_a_duplicate_makes_room_for_a_query() -> None:
    driver = Driver(Duplicates(1, 1), 1, interrupts=True)  # 2 instances
    driver.arrive(1)
    duplicate = driver.tasks_of(0)[1]
    driver.arrive(1)
    assert driver.desk.stops == [duplicate] and driver.tasks_of(1) == []
    driver.stop(duplicate)
    assert len(driver.tasks_of(1)) == 1


def test_nothing_is_stopped_where_instances_cannot() -> None:
    driver = Driver(Replication(2, 1), 2)
    driver.arrive(2)
    driver.finish(driver.tasks_of(0)[0])
    assert driver.desk.stops == []


@pytest.mark.parametrize("name", EVERY)
def test_every_policy_answers_every_query_once(name: str) -> None:
    policy: Policy = EVERY[name]
    result = simulate(
        {name: policy},
        Poisson(3_000, utilisation=0.6),
        straggler={"slow": Slowdown(0.1, Constant(4.0)), "crash": Crash(rate_per_s=2.0)},
        instances=4,
        interrupt_ms=0.5,
        show_progress=False,
    )
    metrics = result.metrics
    assert metrics[f"simulate/{name}/lost"] == 0 and metrics[f"simulate/{name}/queries"] == 3_000
    if name not in ("tied", "checked_parity"):
        assert metrics[f"simulate/{name}/stopped_tasks"] > 0
        assert (result.tasks["outcome"] == "stopped").sum() == metrics[f"simulate/{name}/stopped_tasks"]


def test_what_stopping_costs_is_a_setting() -> None:
    busy = {}
    for interrupt_ms in (None, 0.0, 5.0):
        result = simulate(
            [Replication],
            Poisson(3_000, utilisation=0.6),
            straggler=Slowdown(0.1, Constant(4.0)),
            interrupt_ms=interrupt_ms,
            show_progress=False,
        )
        busy[interrupt_ms] = result.metrics["simulate/replication/busy"]
        stopped = result.tasks[result.tasks["outcome"] == "stopped"]
        if interrupt_ms == 5.0:
            done_s = dict(zip(result.queries["query"], result.queries["completed_s"], strict=True))
            after_s = [row.finished_s - done_s[row.batch] for row in stopped.itertuples()]
            assert after_s == pytest.approx([0.005] * len(after_s)) and after_s
    assert busy[0.0] < busy[5.0] < busy[None]


def test_it_is_for_one_task_at_a_time() -> None:
    with pytest.raises(SettingError, match=r"interrupt_ms=1: .*prefetch=2"):
        simulate([Hedged], Poisson(10), interrupt_ms=1, prefetch=2, show_progress=False)
