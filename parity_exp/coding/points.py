"""Chebyshev points: where codes over copies of the base model place queries and coded queries on ``[-1, 1]``."""

import math

import torch
from torch import Tensor


def first_kind(count: int) -> Tensor:
    """``cos((2j + 1) pi / (2 count))`` for j = 0, ..., count - 1: ``(count,)``, descending, double precision."""
    return torch.cos((2 * torch.arange(count, dtype=torch.float64) + 1) * math.pi / (2 * count))


def second_kind(count: int) -> Tensor:
    """``cos(i pi / (count - 1))`` for i = 0, ..., count - 1: ``(count,)``, descending, double precision.

    Both ends are among them. ``count`` is 2 or more.
    """
    return torch.cos(torch.arange(count, dtype=torch.float64) * math.pi / (count - 1))
