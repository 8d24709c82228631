"""Times belong to what they are for: a policy cannot change them, nor the order in which they are asked for."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity_exp import simulate
from parity_exp.disturbances import Exponential
from parity_exp.disturbances.distribution import Distribution
from parity_exp.load import Poisson
from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    EqualResources,
    Hedged,
    NoRedundancy,
    Oracle,
    Parity,
    Replication,
    SharedParity,
)
from parity_exp.policies.policy import BASE, Batch, Group, Policy, Work
from parity_exp.policies.queues import RoundRobin, SingleQueue
from parity_exp.simulation import DrawnAhead, DrawnForTasks, ServiceTimes
from parity_exp.simulation.drawn_ahead import BLOCK, MOST_BLOCKS

POLICIES: dict[str, Callable[[int, int], Policy]] = {
    "none": NoRedundancy,
    "equal_resources": EqualResources,
    "replication": Replication,
    "hedged": Hedged,
    "approximate_backup": ApproximateBackup,
    "parity": Parity,
    "shared_parity": SharedParity,
    "adaptive": Adaptive,
    "oracle": Oracle,
}


@given(st.permutations(range(12)))
def test_the_order_of_questions_changes_nothing(order: list[int]) -> None:
    questions = [(number, copy, row) for number in (0, 9_000) for copy in (0, 1, 2) for row in (-1, 1)]
    in_order = DrawnAhead(Exponential(1.0), [3])
    expected = {question: in_order.at(*question) for question in questions}
    shuffled = DrawnAhead(Exponential(1.0), [3])
    assert {questions[place]: shuffled.at(*questions[place]) for place in order} == expected
    assert len(set(expected.values())) == len(questions)


def test_what_was_let_go_of_is_drawn_again() -> None:
    drawn = DrawnAhead(Exponential(1.0), [3])
    first = drawn.at(5)
    assert len({drawn.at(block * BLOCK) for block in range(1, 2 * MOST_BLOCKS)}) == 2 * MOST_BLOCKS - 1
    assert drawn.at(5) == first


def test_times_are_distributed_as_asked() -> None:
    drawn = DrawnAhead(Exponential(2.0), [0])
    times = np.array([[drawn.at(number, copy) for number in range(20_000)] for copy in range(2)])
    assert times.mean(axis=1) == pytest.approx(2.0, rel=0.03)
    assert np.corrcoef(times)[0, 1] == pytest.approx(0.0, abs=0.03)


def test_a_task_is_known_by_its_query_or_by_its_group_and_row_and_by_its_copy() -> None:
    group = Group(4, 2)
    batch = Batch((4,), 0.0)
    service = ServiceTimes({BASE: Exponential(1.0)})
    message = DrawnForTasks(Exponential(1.0), [1])
    works = [Work(BASE, "", batch), Work(BASE, "", batch)]
    works += [Work(BASE, "", group=group, row=row) for row in (0, 1, 0)]
    times = [service(work, 0.0) for work in works]
    assert len({*times, *(message(work) for work in works)}) == 10
    other = ServiceTimes({BASE: Exponential(1.0)})
    assert other.foresee(works[0], [0.0, 9.0]) == [times[0], times[0]]
    assert [other(work, 0.0) for work in (works[3], works[2], works[0], works[4], works[1])] == [
        times[3], times[2], times[0], times[4], times[1],
    ]  # fmt: skip


def first_tasks(queries: int, service_time: Distribution, **options: object) -> dict[str, pd.Series]:
    """For each policy how long the first task of each query took, by the query."""
    result = simulate(
        POLICIES, Poisson(queries, utilisation=0.6), instances=4, service_time=service_time, show_progress=False,
        network_ms=1.0, network=Exponential(1.0), **options,
    )  # type: ignore[arg-type]  # fmt: skip
    tasks = result.tasks[(result.tasks["model"] == BASE) & (result.tasks["batch"] >= 0)].sort_values("task")
    took_s = (tasks["finished_s"] - tasks["started_s"]).groupby([tasks["policy"], tasks["batch"]]).first()
    return {policy: took_s[policy] for policy in POLICIES}


@pytest.mark.parametrize("queue", [SingleQueue, RoundRobin])
@pytest.mark.one_of_many
def test_every_policy_meets_the_same_service_times_the_oracle_too(queue: type) -> None:
    times_s = first_tasks(400, Exponential(1.0), queue=queue, seed=3)
    assert times_s["none"].nunique() == 400
    for times in times_s.values():
        assert len(times) >= 300  # what has its answer before its turn is cancelled
        np.testing.assert_allclose(times, times_s["none"][times.index], atol=1e-9)
