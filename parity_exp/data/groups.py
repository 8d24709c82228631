"""Coding groups: k samples encoded together, as rows of an index tensor drawn afresh each epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Alike:
    """Groups whose queries resemble each other, as those of one user or one camera do: of one class, for want of more.

    Attributes:
        labels: ``(N,)``, the classes of the samples.
        share: of the queries; those of a group that belong to it are of one class, and all others come at random.
    """

    labels: Tensor
    share: float

    def groups(self, order: Tensor, k: int, random: torch.Generator) -> Tensor:
        """Deal samples in random order ``(G * k,)`` out to groups ``(G, k)``.

        Where a class does not fill its last group, the next class goes on there.
        """
        groups = torch.empty(len(order) // k, k, dtype=order.dtype)
        alike = torch.rand(groups.shape, generator=random) < self.share
        some, others = order.split([int(alike.sum()), int((~alike).sum())])
        groups[alike] = some[self.labels.cpu()[some].argsort(stable=True)]
        groups[~alike] = others
        return groups[torch.randperm(len(groups), generator=random)]


def coding_groups(samples: int, k: int, seed: int, epoch: int = 0, alike: Alike | None = None) -> Tensor:
    """Draw groups of k different samples at random, each sample in at most one group.

    Args:
        samples: how many samples there are.
        k: queries in a coding group.
        seed: seed of the draw.
        epoch: another draw of the same seed.
        alike: how the queries of a group resemble each other; None: not at all.

    Returns:
        ``(samples // k, k)`` int64; the up to k - 1 samples left over sit this epoch out.

    Raises:
        ValueError: fewer than k samples.
    """
    return _drawn(samples, k, seed, epoch, alike)[0]


def covering_groups(samples: int, k: int, seed: int, alike: Alike | None = None) -> tuple[Tensor, Tensor]:
    """Draw groups in which every sample occurs, for evaluation.

    Returns:
        Groups ``(ceil(samples / k), k)`` int64, and a mask of the same shape that is true once for every sample:
        where k does not divide the number of samples, the last group is filled up with samples that other groups
        hold already, and the mask is false there.
    """
    groups, order = _drawn(samples, k, seed, 0, alike)
    missing = samples - groups.numel()
    counted = torch.ones_like(groups, dtype=torch.bool)
    if missing == 0:
        return groups, counted
    last = torch.cat([order[-missing:], order[: k - missing]])
    first_time = torch.arange(k) < missing
    return torch.cat([groups, last[None]]), torch.cat([counted, first_time[None]])


def _drawn(samples: int, k: int, seed: int, epoch: int, alike: Alike | None) -> tuple[Tensor, Tensor]:
    """Groups, and all samples in the order that they were dealt in: those behind the groups' are left over."""
    if samples < k:
        raise ValueError(f"{samples} samples do not make a group of k={k}")
    random = epoch_generator(seed, epoch)
    order = torch.randperm(samples, generator=random)
    dealt = order[: samples // k * k]
    groups = alike.groups(dealt, k, random) if alike is not None and alike.share else dealt.view(-1, k)
    return groups, order


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """A random generator that depends on the seed, the epoch, and which of several independent uses it is for."""
    mixed = (seed * 1_000_003 + epoch * 7_919 + stream * 104_729 + 12_345) % 2**63
    return torch.Generator().manual_seed(mixed)


class Batches:
    """The batches of an epoch, made by a function from rows of an index tensor.

    Lightning's data loaders exist to fetch single samples; here a batch is one indexing of a tensor that is
    already in place.

    Args:
        draw: gives the epoch's index tensor, ``(rows, ...)``.
        make: turns rows of it, the epoch, and the number of the batch into a batch.
        rows: length of the index tensor.
        batch_size: rows in a batch.
        epoch: tells the current epoch.
        rank: which of the processes this is; batch b goes to process b modulo ``world_size``.
        world_size: how many processes share the epoch.
        even: give every process the same number of batches, dropping the round that not all have a part of.
            Training needs it, for processes wait for each other at every step; evaluation must not drop any.
        unchanging: whether ``make`` makes the same of the same rows, whatever the epoch and the batch's number are.
        least: rows in a batch at least; where fewer are left over, they join the batch before.

    Attributes:
        total: batches of all processes together.
        full: how many of them, the first ones, have just ``batch_size`` rows.
    """

    def __init__(
        self,
        draw: Callable[[int], Tensor],
        make: Callable[[Tensor, int, int], Any],
        rows: int,
        batch_size: int,
        epoch: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world_size: int = 1,
        even: bool = True,
        unchanging: bool = False,
        least: int = 1,
    ) -> None:
        self.draw = draw
        self.make = make
        self.batch_size = batch_size
        self.epoch = epoch
        self.rank = rank
        self.world_size = world_size
        joined = rows > batch_size and 0 < rows % batch_size < least
        self.total = -(-rows // batch_size) - joined
        self.full = rows // batch_size - joined
        self.even = even
        self.unchanging = unchanging

    def span(self, batch: int) -> slice:
        """The rows of the index tensor that a batch is made of; all that are left for the last one."""
        start = batch * self.batch_size
        return slice(start, None if batch == self.total - 1 else start + self.batch_size)

    def __len__(self) -> int:
        if self.even:
            return max(1, self.total // self.world_size)
        return len(range(self.rank, self.total, self.world_size))

    def __iter__(self) -> Iterator[Any]:
        return iter(Steps(self, self.draw(self.epoch()), self.epoch(), 0, len(self)))


class Steps:
    """Some consecutive batches of an epoch, which Lightning sees as one; what it does per batch is shared among them.

    Attributes:
        batches: all of the epoch.
        index: the epoch's index tensor.
        epoch: the epoch.
        first: the first batch, of those that this process works on.
        last: the batch after the last one.
    """

    def __init__(self, batches: Batches, index: Tensor, epoch: int, first: int, last: int) -> None:
        self.batches = batches
        self.index = index
        self.epoch = epoch
        self.first = first
        self.last = last

    @property
    def end_epoch(self) -> bool:
        """Whether the last batch of the epoch is among them."""
        return self.last == len(self.batches)

    def rows(self, turn: int) -> Tensor:
        """The rows of the index tensor that a batch is made of."""
        return self.index[self.batches.span(self._number(turn))]

    def make(self, turn: int) -> Any:
        """A batch."""
        return self.batches.make(self.rows(turn), self.epoch, self._number(turn))

    def _number(self, turn: int) -> int:
        # A process without a batch of its own (fewer batches than processes) works on another's.
        return (turn * self.batches.world_size + self.batches.rank) % self.batches.total

    def __iter__(self) -> Iterator[Any]:
        return (self.make(turn) for turn in range(self.first, self.last))

    def to(self, *_: object, **__: object) -> Self:
        """Stay: batches are made where they are needed, though Lightning asks each one to move there."""
        return self


class Runs:
    """An epoch's batches in runs of several.

    Args:
        batches: the epoch's batches.
        length: batches in a run.
    """

    def __init__(self, batches: Batches, length: int) -> None:
        self.batches = batches
        self.length = length
        self._ahead: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return -(-len(self.batches) // self.length)

    def __iter__(self) -> Iterator[Steps]:
        epoch, count = self.batches.epoch(), len(self.batches)
        drawn, index = self._ahead or (None, torch.empty(0))
        if drawn != epoch:
            index = self.batches.draw(epoch)
        for first in range(0, count, self.length):
            yield Steps(self.batches, index, epoch, first, min(first + self.length, count))
        if index.is_cuda:
            # Steps on a GPU are taken later than they are asked for: while it works, the next order can be drawn.
            self._ahead = epoch + 1, self.batches.draw(epoch + 1)
