"""Learning-rate schedules over all steps of a training run.

Each takes the optimizer and the number of steps, and returns a scheduler that is stepped after every optimizer step.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from parity_exp.ranges import Share


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler | None:
    """Keep the optimizer's learning rate."""
    return None


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    max_lr: Annotated[float, Gt(0), Le(1000)] | None = None,
    warmup_fraction: Share = 0.3,
) -> LRScheduler:
    """Rise to ``max_lr`` and anneal to almost nothing (Smith and Topin, arXiv 1708.07120).

    Args:
        optimizer: whose learning rate to set.
        total_steps: optimizer steps in the whole run.
        max_lr: the highest rate; the optimizer's own where it is not given.
        warmup_fraction: part of the run in which the rate rises.
    """
    highest = optimizer.param_groups[0]["lr"] if max_lr is None else max_lr
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=total_steps, pct_start=warmup_fraction)


def best_cycle(
    optimizer: Optimizer,
    total_steps: int,
    max_lr: Annotated[float, Gt(0), Le(1000)] | None = None,
    warmup_fraction: Share = 0.3,
    convolutions_apart: bool | None = None,
) -> LRScheduler:
    """:func:`one_cycle` with the highest rate that suits the network.

    Twice the usual rate gains 0.004 to 0.009 of accuracy where a convolutional network keeps places apart, and costs
    a transformer that does 0.003 to 0.009 (on validation images: docs/results/recipes.md).

    Args:
        optimizer: whose learning rate to set.
        total_steps: optimizer steps in the whole run.
        max_lr: the highest rate; where it is not given, 8e-3 for a convolutional network that keeps places apart, and
            4e-3 for all others.
        warmup_fraction: part of the run in which the rate rises.
        convolutions_apart: whether it is such a network; None: no, unless whoever makes the schedule knows better.
    """
    highest = (8e-3 if convolutions_apart else 4e-3) if max_lr is None else max_lr
    return one_cycle(optimizer, total_steps, highest, warmup_fraction)


def cosine(optimizer: Optimizer, total_steps: int, final_lr: Annotated[float, Ge(0), Le(1000)] = 0.0) -> LRScheduler:
    """Anneal from the optimizer's rate to ``final_lr`` along half a cosine (arXiv 1608.03983)."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final_lr)
