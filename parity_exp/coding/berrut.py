"""Berrut's rational interpolation as a code: ApproxIFER, AAAI 2022, arXiv 2109.09868.

Berrut's interpolant through values y_i at points x_i (Mathematics and Computers in Simulation, 1988) is

    r(z) = sum_i y_i l_i(z),    l_i(z) = (s_i / (z - x_i)) / sum_j (s_j / (z - x_j)),

with signs s_i that alternate along the line. It passes through all values, has no pole on the line, and is linear in
the values.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from parity_exp.coding.non_systematic import NonSystematicCode
from parity_exp.ranges import Few, SomeOrNone

SIGNS = ("own", "alternating")

POLE = 1e6
"""Where a weight is larger than this, the interpolant has a pole there for all practical purposes."""


def berrut_matrix(points: Tensor, signs: Tensor, at: Tensor) -> Tensor:
    """Berrut's basis functions ``l_i`` of some points, evaluated elsewhere.

    Args:
        points: ``(m,)``, the x_i, all different, double.
        signs: ``(m,)``, the s_i, +1 or -1.
        at: ``(q,)``, where to evaluate.

    Returns:
        ``(q, m)``, rows that sum to 1: the values' weights. At one of the points that is the value there.
    """
    distances = at[:, None] - points[None, :]
    here = distances == 0
    weights = signs / torch.where(here, 1, distances)
    return torch.where(here.any(1, keepdim=True), here.double(), weights / weights.sum(1, keepdim=True))


class BerrutCode(NonSystematicCode):
    """ApproxIFER's code: Berrut's interpolant through the queries, and another one through the answers.

    Coded query i is ``sum_j X_j l_j(beta_i)`` with the ``l_j`` of the points alpha; with F the coded queries that were
    answered, ``f(X_j) ~ sum_{i in F} Y_i l_i(alpha_j)`` with the ``l_i`` of the points beta_i, i in F.

    Args:
        k: queries in a group.
        stragglers: S, answers that may be missing.
        byzantine: E, answers that may be wrong.
        workers: n, coded queries of a group; None takes ApproxIFER's number.
        last: the S coded queries to send last.
        signs: of the answers' points. ``own`` is the paper's, ``(-1)^i`` by a coded query's own number, which has two
            neighbours of the same sign beside a missing answer and may have a pole between them; ``alternating``
            counts only the answers that are there, and has none. A prediction that stands at a pole (k = 3, n = 5, the
            middle answer missing) is decoded with alternating signs.

    Raises:
        ValueError: numbers or signs that cannot be.

    Example:
        >>> code = BerrutCode(k=2, stragglers=1)
        >>> coded = code.encode(torch.ones(5, 2, 1, 4, 4))
        >>> coded.shape
        torch.Size([5, 3, 1, 4, 4])
        >>> answered = torch.tensor([[True, False, True]]).expand(5, 3)
        >>> code.decode(coded, answered).shape
        torch.Size([5, 2, 1, 4, 4])
    """

    def __init__(
        self,
        k: int,
        stragglers: SomeOrNone = 1,
        byzantine: SomeOrNone = 0,
        workers: Few | None = None,
        last: Sequence[SomeOrNone] | None = None,
        signs: Literal["own", "alternating"] = "own",
    ) -> None:
        super().__init__(k, stragglers, byzantine, workers, last)
        if signs not in SIGNS:
            raise ValueError(f"signs={signs}: expected one of {', '.join(SIGNS)}")
        self.signs = signs

    def encoding_matrix(self) -> Tensor:
        return berrut_matrix(self.alpha, _signs(range(self.k)), self.beta)

    def decoding_matrix(self, answered: Sequence[int]) -> Tensor:
        points = self.beta[list(answered)]
        alternating = berrut_matrix(points, _signs(range(len(answered))), self.alpha)
        if self.signs == "alternating":
            return alternating
        own = berrut_matrix(points, _signs(answered), self.alpha)
        sound = (own.abs() < POLE).all(1, keepdim=True)
        return torch.where(sound, own, alternating)


def _signs(numbers: Sequence[int]) -> Tensor:
    return torch.tensor([(-1.0) ** number for number in numbers], dtype=torch.float64)
