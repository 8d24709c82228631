"""Loss patterns: which predictions of a group are missing, for training and for evaluation."""

import itertools
import math

import torch
from torch import Tensor


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


def joint_loss_patterns(k: int, r: int, limit: int = 1024, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The patterns of 1 to r lost predictions, each with every choice of parity outputs that suffices to decode.

    Args:
        k: queries in a coding group.
        r: parity queries of a group.
        limit: as for :func:`loss_patterns`, for each number of lost predictions and each choice of parity outputs.
        seed: seed of the samples.

    Returns:
        ``(P, k)`` and ``(P, r)`` boolean: true where a prediction, and where a parity output, is available.
    """
    predictions, parities = [], []
    for losses in range(1, min(k, r) + 1):
        patterns = loss_patterns(k, losses, limit, seed)
        for there in itertools.product([True, False], repeat=r):
            if sum(there) >= losses:
                predictions.append(patterns)
                parities.append(torch.tensor(there).expand(len(patterns), r))
    return torch.cat(predictions), torch.cat(parities)
