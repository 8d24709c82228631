"""Clusters of two sizes share what is chosen among their instances, and each choice is uniform."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity_exp.disturbances import Contention, Corrupt, Crash, Degraded, Neighbour, Shuffle, Slowdown, Straggler
from parity_exp.disturbances.distribution import Exponential
from parity_exp.disturbances.helpers import Burner
from parity_exp.disturbances.nested import one_each, shuffled, two_each
from parity_exp.disturbances.trace import Disturbance

SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=2).map(sorted)
SEEDS = st.integers(0, 10**6)
CASES = [((4, 6), 0), ((18, 24), 1), ((2, 31), 2), ((18, 24), 3)]
DURATION_S = 10.0


def stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(SIZES, SEEDS)
def test_a_larger_cluster_has_another_choice_only_where_it_is_a_new_instance(sizes: list[int], seed: int) -> None:
    small, large = sizes
    few, many = one_each(small, 200, stream(seed)), one_each(large, 200, stream(seed))
    assert few.max() < small and many.max() < large
    assert (many[few != many] >= small).all()
    pairs = [np.sort(np.stack(two_each(size, 200, stream(seed))), axis=0) for size in sizes]
    assert pairs[0].max() < small and pairs[1].max() < large
    assert all((pair[0] < pair[1]).all() for pair in pairs)
    assert (pairs[1][1][(pairs[0] != pairs[1]).any(axis=0)] >= small).all()
    assert [one for one in shuffled(large, stream(seed)) if one < small] == shuffled(small, stream(seed))


@pytest.mark.parametrize("size", [2, 3, 18, 61])
def test_choices_are_uniform(size: int) -> None:
    times = 200_000
    ones = np.bincount(one_each(size, times, stream(1)), minlength=size)
    pairs = Counter(zip(*(ends.tolist() for ends in np.sort(two_each(size, times, stream(2)), axis=0)), strict=True))
    for counts, choices in ((ones.tolist(), size), ([*pairs.values()], size * (size - 1) // 2)):
        mean = times / choices
        assert len(counts) == choices
        assert max(abs(count - mean) for count in counts) < 5 * mean**0.5


def within(straggler: Straggler, instances: int, seed: int, of: int) -> list[Disturbance]:
    """Rows of the first instances of a cluster."""
    rows = straggler.trace(instances, DURATION_S, stream(seed), 0.02)
    return sorted((row for row in rows if row.instance < of), key=repr)


@pytest.mark.parametrize(
    "straggler",
    [
        Slowdown(0.05, Exponential(6.0)),
        Crash(mtbf_s=20.0),
        Crash(instance=1),
        Degraded(instance=0),
        Corrupt(count=60, probability=0.2),
        Contention(Burner(), fraction=1.0, duty=0.5),
        Neighbour(1.5, instances=[0, 1], duty=0.5),
    ],
)
@pytest.mark.parametrize(("sizes", "seed"), CASES)
def test_the_first_instances_of_a_larger_cluster_meet_the_same_where_each_is_met_alike(
    straggler: Straggler, sizes: tuple[int, int], seed: int
) -> None:
    small, large = sizes
    assert within(straggler, large, seed, small) == within(straggler, small, seed, small)


@pytest.mark.parametrize("straggler", [Degraded(), Degraded(count=2), Crash(rate_per_s=1.0), Corrupt(probability=1.0)])
@pytest.mark.parametrize(("sizes", "seed"), CASES)
def test_of_what_falls_on_some_instances_a_larger_cluster_takes_away_what_falls_on_its_new_ones(
    straggler: Straggler, sizes: tuple[int, int], seed: int
) -> None:
    small, large = sizes
    few, many = (straggler.trace(size, DURATION_S, stream(seed), 0.02) for size in sizes)
    on_new = sum(row.instance >= small for row in many)
    assert len(many) == len(few)
    assert Counter(map(repr, few)) - Counter(map(repr, many)) == Counter(map(repr, few)) - Counter(
        map(repr, within(straggler, large, seed, small))
    )
    assert len(within(straggler, large, seed, small)) == len(few) - on_new


@pytest.mark.parametrize(("sizes", "seed"), CASES)
def test_clusters_of_two_sizes_have_the_same_transfers(sizes: tuple[int, int], seed: int) -> None:
    few, many = (Shuffle().schedule(size, DURATION_S, stream(seed)) for size in sizes)
    common = many[: len(few)]
    assert [(one.start_s, one.end_s) for one in common] == [(one.start_s, one.end_s) for one in few]
    for one, other in zip(few, common, strict=True):
        assert set(one.between) == set(other.between) or max(other.between) >= sizes[0]
