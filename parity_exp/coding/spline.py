"""Smoothing splines as a code: NeRCC (arXiv 2402.04377) and LeTCC (NeurIPS 2024).

The natural cubic smoothing spline through values y_i at points x_i is the function g that minimises

    sum_i (y_i - g(x_i))^2 + weight * integral g''(x)^2 dx.

It is linear in the values (Green and Silverman, Nonparametric Regression and Generalized Linear Models, 1994,
section 2.3): with h_i = x_{i+1} - x_i, the second derivatives gamma at the inner points solve

    (R + weight Q^T Q) gamma = Q^T y,    g = y - weight Q gamma,

R tridiagonal with (h_{i-1} + h_i) / 3 and h_i / 6, column i of Q with 1/h_{i-1}, -1/h_{i-1} - 1/h_i, 1/h_i.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from parity_exp.coding.non_systematic import NonSystematicCode, chosen
from parity_exp.ranges import Few, NotNegative, SomeOrNone


def smoothing_spline_matrix(points: Tensor, weight: float, at: Tensor) -> Tensor:
    """The smoothing spline of some points as a matrix that takes values to values elsewhere.

    What ``scipy.interpolate.make_smoothing_spline`` gives with ``lam=weight``, which needs five points; here two give
    the line through them, and one a constant. Beyond the outermost points the outermost cubic goes on, as there.

    Args:
        points: ``(m,)``, the x_i, all different, in any order, double.
        weight: of the integral; 0 interpolates.
        at: ``(q,)``, where to evaluate.

    Returns:
        ``(q, m)``.
    """
    count = len(points)
    if count == 1:
        return torch.ones(len(at), 1, dtype=torch.float64)
    ascending, order = points.sort()
    fitted, curvature = _fit(ascending, weight)
    piece = (torch.searchsorted(ascending, at) - 1).clamp(0, count - 2)
    width = (ascending[piece + 1] - ascending[piece])[:, None]
    right = (at - ascending[piece])[:, None] / width
    left = 1 - right
    matrix = torch.empty(len(at), count, dtype=torch.float64)
    matrix[:, order] = (
        left * fitted[piece]
        + right * fitted[piece + 1]
        + ((left**3 - left) * curvature[piece] + (right**3 - right) * curvature[piece + 1]) * width**2 / 6
    )
    return matrix


def _fit(points: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Fitted values and second derivatives at ascending points, as matrices ``(m, m)`` on the values."""
    count = len(points)
    identity = torch.eye(count, dtype=torch.float64)
    curvature = torch.zeros(count, count, dtype=torch.float64)
    if count == 2:
        return identity, curvature
    h = points.diff()
    q = torch.zeros(count, count - 2, dtype=torch.float64)
    r = torch.diag((h[:-1] + h[1:]) / 3) + torch.diag(h[1:-1] / 6, 1) + torch.diag(h[1:-1] / 6, -1)
    for column in range(count - 2):
        q[column, column] = 1 / h[column]
        q[column + 1, column] = -1 / h[column] - 1 / h[column + 1]
        q[column + 2, column] = 1 / h[column + 1]
    curvature[1:-1] = torch.linalg.solve(r + weight * q.mT @ q, q.mT)
    return identity - weight * q @ curvature[1:-1], curvature


WEIGHTS = (0.0, *(10.0**power for power in range(-8, 1)))
"""What is tried for a weight that is null."""


class SplineCode(NonSystematicCode):
    """NeRCC's code: a smoothing spline through the queries, and another one through the answers.

    Coded query i is the value at beta_i of the spline through ``(alpha_j, X_j)``; prediction j is the value at alpha_j
    of the spline through ``(beta_i, Y_i)``, i over the answers that are there. Weights are those of a sum of squares,
    as above; the papers' are of a mean of squares, and so k and n times smaller.

    Args:
        k: queries in a group.
        stragglers: S, answers that may be missing.
        byzantine: E, answers that may be wrong.
        workers: n, coded queries of a group; None takes ApproxIFER's number.
        last: the S coded queries to send last.
        encoder_weight: the regularisation weight of encoding, 0 or more; None while nobody has chosen it.
        decoder_weight: that of decoding.

    Raises:
        ValueError: numbers or weights that cannot be.

    Example:
        >>> code = SplineCode(k=4, stragglers=2, encoder_weight=1e-6, decoder_weight=1e-6)
        >>> code.encode(torch.ones(5, 4, 1, 4, 4)).shape
        torch.Size([5, 6, 1, 4, 4])
    """

    def __init__(
        self,
        k: int,
        stragglers: SomeOrNone = 1,
        byzantine: SomeOrNone = 0,
        workers: Few | None = None,
        last: Sequence[SomeOrNone] | None = None,
        encoder_weight: NotNegative | None = None,
        decoder_weight: NotNegative | None = None,
    ) -> None:
        super().__init__(k, stragglers, byzantine, workers, last)
        for name, weight in (("encoder_weight", encoder_weight), ("decoder_weight", decoder_weight)):
            if weight is not None and not 0 <= weight < math.inf:
                raise ValueError(f"{name}={weight}: expected a number of 0 or more, or null to search for the best")
        self.encoder_weight = encoder_weight
        self.decoder_weight = decoder_weight

    def open_settings(self) -> dict[str, tuple[float, ...]]:
        weights = {"encoder_weight": self.encoder_weight, "decoder_weight": self.decoder_weight}
        return {name: WEIGHTS for name, weight in weights.items() if weight is None}

    def encoding_matrix(self) -> Tensor:
        return smoothing_spline_matrix(self.alpha, chosen("encoder_weight", self.encoder_weight), self.beta)

    def decoding_matrix(self, answered: Sequence[int]) -> Tensor:
        weight = chosen("decoder_weight", self.decoder_weight)
        return smoothing_spline_matrix(self.beta[list(answered)], weight, self.alpha)
