"""Loss patterns: which predictions of a group are missing, for training and for evaluation."""

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable


def loss_patterns(k: int, losses: int, limit: int = 1024, seed: int = 0) -> Tensor:
    """The patterns in which ``losses`` of k predictions are missing.

    Args:
        k: queries in a coding group.
        losses: how many predictions are missing, 1 to k.
        limit: where there are more patterns than this, a seeded sample of that size (with repeats) stands for them.
        seed: seed of the sample.

    Returns:
        ``(P, k)`` boolean, true where a prediction is available.

    Raises:
        ValueError: ``losses`` outside 1..k.
    """
    if not 1 <= losses <= k:
        raise ValueError(f"losses={losses} must lie between 1 and k={k}")
    if math.comb(k, losses) <= limit:
        lost = torch.tensor(list(itertools.combinations(range(k), losses)))
    else:
        random = torch.Generator().manual_seed(seed)
        lost = torch.rand(limit, k, generator=random).argsort(dim=1)[:, :losses]
    return torch.ones(len(lost), k, dtype=torch.bool).scatter_(1, lost, False)


def all_loss_patterns(k: int, r: int, limit: int = 1024, seed: int = 0) -> Tensor:
    """The patterns of 1 to r losses, ``(P, k)``, as :func:`loss_patterns` gives them."""
    return torch.cat([loss_patterns(k, losses, limit, seed) for losses in range(1, min(k, r) + 1)])


def joint_loss_patterns(
    k: int,
    r: int,
    limit: int = 1024,
    seed: int = 0,
    most: int | None = None,
    repairs: Callable[[int, int], bool] = operator.le,
) -> tuple[Tensor, Tensor]:
    """The patterns of lost predictions, each with every choice of parity outputs that suffices to decode.

    Args:
        k: queries in a coding group.
        r: parity queries of a group.
        limit: as for :func:`loss_patterns`, for each number of lost predictions and each choice of parity outputs.
        seed: seed of the samples.
        most: lost predictions at most; None: r.
        repairs: whether so many lost predictions come back from so many parity outputs.

    Returns:
        ``(P, k)`` and ``(P, r)`` boolean: true where a prediction, and where a parity output, is available.
    """
    predictions, parities = [], []
    for losses in range(1, min(k, r if most is None else most) + 1):
        patterns = loss_patterns(k, losses, limit, seed)
        for there in itertools.product([True, False], repeat=r):
            if repairs(losses, sum(there)):
                predictions.append(patterns)
                parities.append(torch.tensor(there).expand(len(patterns), r))
    return torch.cat(predictions), torch.cat(parities)


class LossPatterns(nn.Module):
    """Patterns under which every group of a batch is decoded, with all that only depends on the patterns.

    What a step of training asks for again and again is made once here, and nothing of it waits for a GPU.

    Args:
        patterns: ``(P, k)`` boolean, true where a prediction is available.
        parity_patterns: ``(P, r)`` boolean, true where a parity output is available.

    Attributes:
        patterns: as given.
        parity_patterns: as given.
        lost: ``(M, 2)``, pattern and place in the group of every missing prediction.
        places: ``(M,)``, the places alone.
        all_parities: whether no parity output is missing in any pattern.
        counts: how many predictions are missing and how many parity outputs are there, of every pattern.
    """

    patterns: Tensor
    parity_patterns: Tensor
    lost: Tensor
    places: Tensor
    zero: Tensor

    def __init__(self, patterns: Tensor, parity_patterns: Tensor) -> None:
        super().__init__()
        lost = (~patterns).nonzero()
        k = patterns.shape[1]
        chosen = lost[:, 0] * k + lost[:, 1]
        back = torch.zeros(patterns.numel(), dtype=torch.int64)
        back[chosen] = torch.arange(len(chosen))
        buffers = {"patterns": patterns, "parity_patterns": parity_patterns, "lost": lost, "places": lost[:, 1]}
        buffers |= {"zero": torch.zeros(()), "chosen": chosen, "back": back, "is_chosen": ~patterns.flatten()}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)
        self.all_parities = bool(parity_patterns.all())
        counts = zip((~patterns).sum(1).tolist(), parity_patterns.sum(1).tolist(), strict=True)
        self.counts: frozenset[tuple[int, int]] = frozenset(counts)
        self._repeated: dict[int, tuple[Tensor, Tensor]] = {}

    @classmethod
    def of_predictions(cls, patterns: Tensor, r: int) -> Self:
        """Patterns ``(P, k)`` in which all r parity outputs are available."""
        return cls(patterns, torch.ones(len(patterns), r, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.patterns)

    def masks(self, groups: int) -> tuple[Tensor, Tensor]:
        """What is available of ``groups`` groups, each under every pattern: ``(groups * P, k)`` and ``(.., r)``."""
        if groups not in self._repeated:
            self._repeated[groups] = self.patterns.repeat(groups, 1), self.parity_patterns.repeat(groups, 1)
        return self._repeated[groups]

    def pick(self, every: Tensor) -> Tensor:
        """What stands at the missing places, ``(B, P, k, *out) -> (B, M, *out)``."""
        picked: Tensor = _Pick.apply(every.flatten(1, 2), self.chosen, self.back, self.is_chosen, self.zero)
        return picked

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._repeated.clear()
        return super()._apply(fn, recurse)


class _Pick(torch.autograd.Function):
    """Rows of a tensor, none of them twice.

    Knowing that, the gradient of a row is a row of the gradient: indexing as torch knows it has to add rows up, which
    on a GPU takes a sort.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, every: Tensor, chosen: Tensor, back: Tensor, is_chosen: Tensor, zero: Tensor
    ) -> Tensor:
        ctx.save_for_backward(back, is_chosen, zero)
        return every.index_select(1, chosen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        back, is_chosen, zero = ctx.saved_tensors
        rows = gradient.index_select(1, back)
        mask = is_chosen.view(1, -1, *[1] * (rows.dim() - 2))
        return torch.where(mask, rows, zero.to(rows.dtype)), None, None, None, None
