"""Generator matrices: which weighted sums of a group's predictions the r parity models learn.

A generator matrix ``c`` has shape ``(r, k)``. Parity query j is ``sum_i c[j, i] X_i`` and parity model j learns
``sum_i c[j, i] F(X_i)``. Any l <= r lost predictions come back from any l parity outputs exactly when every
square submatrix of ``c`` is invertible; how much the parity models' errors grow on the way is the condition
number of the submatrix, so a small worst case matters more here than in finite-field coding.

Every generator in this file has a first row of ones: with r = 1 it is ParM's plain sum (Parity Models,
SOSP 2019, section 3).
"""

import itertools
import math
from typing import Annotated, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor


class Generator(Protocol):
    """Makes the generator matrix of a code."""

    def matrix(self, k: int, r: int) -> Tensor:
        """Return ``c`` of shape ``(r, k)``, float32."""
        ...


class Chebyshev:
    """Vandermonde matrix on shifted Chebyshev nodes: the default.

    ``c[j, i] = x_i ** j`` with ``x_i = scale * cos((2 i + 1) pi / (2 k)) + shift``. Chebyshev nodes keep a real
    Vandermonde matrix as well conditioned as it gets on an interval. The shift makes the nodes' absolute values
    differ and none of them zero, so that submatrices of non-adjacent rows are invertible too. ``scale`` and
    ``shift`` are the best of a grid for the worst condition number over every square submatrix with k <= 8 and
    r <= 4: at most 540, where nodes 1, 2, ..., k give 146,000.
    """

    def __init__(
        self, scale: Annotated[float, Gt(0), Le(1000)] = 1.4, shift: Annotated[float, Ge(-1000), Le(1000)] = 0.15
    ) -> None:
        self.scale = scale
        self.shift = shift

    def matrix(self, k: int, r: int) -> Tensor:
        angles = (2 * torch.arange(k, dtype=torch.float64) + 1) * math.pi / (2 * k)
        return _vandermonde(self.scale * torch.cos(angles) + self.shift, r)


class Vandermonde:
    """Vandermonde matrix on the nodes 1, 2, ..., k: the textbook choice, badly conditioned for larger k and r."""

    def matrix(self, k: int, r: int) -> Tensor:
        return _vandermonde(torch.arange(1, k + 1, dtype=torch.float64), r)


class Cauchy:
    """Cauchy matrix ``1 / (a_j - b_i)``, columns scaled so that the first row is all ones.

    Every square submatrix of a Cauchy matrix is invertible, and scaling columns keeps that.
    """

    def matrix(self, k: int, r: int) -> Tensor:
        rows = -torch.arange(r, dtype=torch.float64)
        columns = torch.arange(1, k + 1, dtype=torch.float64)
        cauchy = 1 / (rows[:, None] - columns[None, :])
        return (cauchy / cauchy[0]).float()


def worst_condition_number(matrix: Tensor) -> float:
    """The largest 2-norm condition number over all square submatrices of ``matrix`` of shape ``(r, k)``.

    Infinite when one of them is singular: some pattern of losses could then not be repaired. The number of
    submatrices grows combinatorially; meant for k + r up to about 14.
    """
    exact = matrix.double()
    r, k = exact.shape
    worst = 1.0
    for size in range(1, min(r, k) + 1):
        for rows in itertools.combinations(range(r), size):
            for columns in itertools.combinations(range(k), size):
                submatrix = exact[list(rows)][:, list(columns)]
                worst = max(worst, float(torch.linalg.cond(submatrix)))
    return worst


def _vandermonde(nodes: Tensor, rows: int) -> Tensor:
    return torch.stack([nodes**power for power in range(rows)]).float()
