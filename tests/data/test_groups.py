"""Coding groups, and how an epoch's batches are made of them and shared among processes."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.data import Alike, Batches, coding_groups, covering_groups
from parity_exp.data.groups import Runs


@settings(max_examples=50, deadline=None)
@given(samples=st.integers(2, 200), k=st.integers(2, 9), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_a_sample_is_in_one_group_at_most(samples: int, k: int, seed: int, epoch: int) -> None:
    if samples < k:
        with pytest.raises(ValueError, match=f"k={k}"):
            coding_groups(samples, k, seed, epoch)
        return
    groups = coding_groups(samples, k, seed, epoch)
    assert groups.shape == (samples // k, k)
    assert len(groups.unique()) == groups.numel()
    assert groups.min() >= 0 and groups.max() < samples


def test_groups_are_drawn_afresh_each_epoch_from_the_seed() -> None:
    drawn = [coding_groups(100, 2, seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])


@settings(max_examples=50, deadline=None)
@given(samples=st.integers(2, 200), k=st.integers(2, 9), seed=st.integers(0, 1000))
def test_covering_groups_count_every_sample_once(samples: int, k: int, seed: int) -> None:
    if samples < k:
        return
    groups, counted = covering_groups(samples, k, seed)
    assert groups.shape == counted.shape == (-(-samples // k), k)
    assert groups[counted].sort().values.tolist() == list(range(samples))
    assert all(len(group.unique()) == k for group in groups), "no sample twice in a group"


@settings(max_examples=50, deadline=None)
@given(
    samples=st.integers(2, 200), k=st.integers(2, 9), seed=st.integers(0, 1000), share=st.sampled_from([0.0, 0.3, 1.0])
)
def test_groups_of_like_samples_cover_every_sample_once_as_well(samples: int, k: int, seed: int, share: float) -> None:
    if samples < k:
        return
    labels = torch.randint(3, (samples,), generator=torch.Generator().manual_seed(seed))
    groups, counted = covering_groups(samples, k, seed, Alike(labels, share))
    assert groups[counted].sort().values.tolist() == list(range(samples))
    assert all(len(group.unique()) == k for group in groups)
    if share == 0:
        assert torch.equal(groups, covering_groups(samples, k, seed)[0])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_so_many_queries_of_a_group_are_of_one_class(share: float) -> None:
    labels = torch.arange(10).repeat(1000)
    groups = coding_groups(len(labels), 8, 0, alike=Alike(labels, share))
    of_classes = torch.stack([(labels[groups] == one).sum(1) for one in range(10)], 1)
    pairs = ((of_classes * (of_classes - 1)).sum(1) / (8 * 7)).mean()
    assert float(pairs) == pytest.approx(share**2 + 0.1 * (1 - share**2), abs=0.02)
    first = of_classes.argmax(1)[: len(groups) // 10]
    assert len(first.unique()) == 10, "neighbours are not of one class as well"


def test_groups_of_like_samples_are_drawn_afresh_each_epoch_from_the_seed() -> None:
    alike = Alike(torch.arange(100) % 10, 0.5)
    drawn = [coding_groups(100, 2, seed, epoch, alike) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])


def indices(batches: Batches) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


def batches_of(rows: int, size: int, rank: int = 0, world_size: int = 1, even: bool = True) -> Batches:
    return Batches(lambda _: torch.arange(rows), lambda index, *_: index, rows, size, lambda: 0, rank, world_size, even)


def test_one_process_gets_every_row_in_order() -> None:
    assert indices(batches_of(7, 3)) == [[0, 1, 2], [3, 4, 5], [6]]


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 60), size=st.integers(1, 9), world_size=st.integers(1, 4))
def test_a_row_that_is_left_over_joins_the_batch_before(rows: int, size: int, world_size: int) -> None:
    def rank(number: int) -> Batches:
        return Batches(
            lambda _: torch.arange(rows),
            lambda index, *_: index,
            rows,
            size,
            rank=number,
            world_size=world_size,
            least=2,
        )

    shares = [indices(rank(number)) for number in range(world_size)]
    lengths = [len(batch) for share in shares for batch in share]
    assert min(lengths) >= 2 or size == 1 or rows == 1
    assert max(lengths) <= size + 1
    assert lengths.count(size) >= rank(0).full // world_size
    if world_size == 1:
        assert list(itertools.chain(*shares[0])) == list(range(rows))


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 60), size=st.integers(1, 9), world_size=st.integers(1, 4))
def test_processes_share_an_epoch(rows: int, size: int, world_size: int) -> None:
    uneven = [batches_of(rows, size, rank, world_size, even=False) for rank in range(world_size)]
    assert sorted(itertools.chain(*(row for share in uneven for row in indices(share)))) == list(range(rows))
    even = [batches_of(rows, size, rank, world_size) for rank in range(world_size)]
    assert len({len(share) for share in even}) == 1
    assert all(len(indices(share)) == len(share) > 0 for share in even)
    together = [row for share in even for batch in indices(share) for row in batch]
    if -(-rows // size) >= world_size:
        assert len(together) == len(set(together)), "processes work on different rows"


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_runs_hold_the_same_batches(length: int) -> None:
    runs = Runs(batches_of(20, 3), length)
    steps = list(runs)
    assert len(steps) == len(runs)
    assert [run.end_epoch for run in steps] == [False] * (len(runs) - 1) + [True]
    assert [batch.tolist() for run in Runs(batches_of(20, 3), length) for batch in run] == indices(batches_of(20, 3))
