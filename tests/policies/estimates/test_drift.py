"""Stragglers that change are noticed, and what happens by chance or in spells is not a change."""

from collections.abc import Iterable

import numpy as np
import pytest

from parity_exp.policies.estimates.drift import BLOCK, EARLIER, FEWEST, FIRST, LATEST, Drift

CHANCE = np.random.default_rng(0)


def noticed(durations_s: Iterable[float], drift: Drift) -> list[tuple[int, float]]:
    """After how many tasks, which come one a second, and since when."""
    found = []
    for task, duration_s in enumerate(durations_s):
        drift.took(duration_s, float(task))
        since_s = drift.since_s()
        if since_s is not None:
            found.append((task, since_s))
    return found


def slow(tasks: int, share: float, factor: float = 5.0) -> np.ndarray:
    return np.where(CHANCE.random(tasks) < share, 0.02 * factor, 0.02)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.03), (0.02, 0.1), (0.1, 0.01)])
def test_more_or_fewer_slow_tasks_are_noticed_within_a_few_blocks(before: float, after: float) -> None:
    change = 4_000
    (found,) = noticed(np.concatenate([slow(change, before), slow(2_000, after)]), Drift())[:1]
    assert change < found[0] <= change + (LATEST + 1) * BLOCK
    assert found[1] > change - 2 * BLOCK


@pytest.mark.parametrize(
    "durations_s",
    [
        np.full(30_000, 0.02),
        slow(30_000, 0.03),
        CHANCE.exponential(0.02, 30_000),
        0.02 * (1 + CHANCE.pareto(2.5, 30_000)),
        np.where(np.arange(30_000) % 900 < 4, 0.1, 0.02),
        np.where(np.arange(30_000) // 100 % 10 == 3, slow(30_000, 0.5), 0.02),
    ],
    ids=["constant", "steady", "exponential", "Pareto", "probes", "spells"],
)
def test_chance_and_spells_are_no_change(durations_s: np.ndarray) -> None:
    assert noticed(durations_s, Drift()) == []


def test_a_change_is_told_once_and_the_next_one_again() -> None:
    found = noticed(np.concatenate([slow(4_000, 0.01), slow(4_000, 0.3), slow(4_000, 0.01)]), Drift())
    assert len(found) == 2


def test_one_of_several_frontends_looks_as_soon() -> None:
    tasks = FIRST + (LATEST + EARLIER) * FEWEST
    (found,) = noticed(np.concatenate([slow(tasks, 0.01), slow(1_000, 0.5)]), Drift(4))[:1]
    assert tasks < found[0] < tasks + LATEST * BLOCK
