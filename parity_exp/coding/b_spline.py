"""B-splines as a code: an interpolating one through the queries, a least-squares one through the answers.

Coded computing by B-splines is the subject of arXiv 2601.10616 (2026), of which we know the abstract only; degree,
knots and boundary are ours, and are said below. ``scipy.interpolate`` has the splines.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor

from parity_exp.coding.non_systematic import NonSystematicCode, chosen
from parity_exp.ranges import Few, SomeOrNone

Degree = Annotated[int, Ge(1), Le(5)]
Knots = Annotated[int, Ge(0), Le(1000)]

KNOTS = (0, 1, 2, 3, 4)
"""What is tried for a number of knots that is null."""


def interpolating_matrix(points: Tensor, degree: int, at: Tensor) -> Tensor:
    """The interpolating B-spline of some points as a matrix that takes values to values elsewhere.

    ``scipy.interpolate.make_interp_spline`` with its own knots and no boundary conditions (not-a-knot). Beyond the
    outermost points the outermost polynomial goes on.

    Args:
        points: ``(m,)``, all different, in any order, double.
        degree: p; where there are fewer than p + 1 points, one less than there are.
        at: ``(q,)``, where to evaluate.

    Returns:
        ``(q, m)``.
    """
    from scipy.interpolate import make_interp_spline  # here, since a simulation does without it

    order = points.argsort()
    ascending = points[order].numpy()
    spline = make_interp_spline(ascending, np.eye(len(ascending)), k=min(degree, len(ascending) - 1))
    return _unsorted(spline(at.numpy()), order)


def least_squares_matrix(points: Tensor, degree: int, knots: int, at: Tensor) -> Tensor:
    """The least-squares B-spline of some points on ``[-1, 1]``, as such a matrix.

    ``scipy.interpolate.make_lsq_spline`` with clamped knots: p + 1 times -1, ``knots`` inner ones at equal distances
    between the ends, p + 1 times 1. Where the points do not determine it (the conditions of Schoenberg and Whitney),
    it has one inner knot less, and so on; where there are fewer than p + 1 points, its degree is one less than there
    are and it has no inner knots: then it is the polynomial through them.

    Args:
        points: ``(m,)``, all different, in any order, double, in ``[-1, 1]``.
        degree: p.
        knots: inner ones at most.
        at: ``(q,)``, where to evaluate.

    Returns:
        ``(q, m)``.
    """
    from scipy.interpolate import make_lsq_spline

    order = points.argsort()
    ascending = points[order].numpy()
    count = len(ascending)
    p = min(degree, count - 1)
    inner = min(knots, count - p - 1)
    while not _determined(ascending, vector := _clamped(p, inner), p):
        inner -= 1
    return _unsorted(make_lsq_spline(ascending, np.eye(count), vector, k=p)(at.numpy()), order)


def _clamped(degree: int, inner: int) -> NDArray[np.float64]:
    ends = np.ones(degree + 1)
    return np.concatenate([-ends, np.linspace(-1, 1, inner + 2)[1:-1], ends])


def _determined(points: NDArray[np.float64], vector: NDArray[np.float64], degree: int) -> bool:
    """Whether there is for every basis function a point of its own inside its support, ends of the line included."""
    taken = 0
    for left, right in zip(vector[: -degree - 1], vector[degree + 1 :], strict=True):
        while taken < len(points) and not (left < points[taken] or points[taken] == -1 == left):
            taken += 1
        if taken == len(points) or not (points[taken] < right or points[taken] == 1 == right):
            return False
        taken += 1
    return True


def _unsorted(values: NDArray[np.float64], order: Tensor) -> Tensor:
    matrix = torch.empty(values.shape, dtype=torch.float64)
    matrix[:, order] = torch.from_numpy(np.ascontiguousarray(values))
    return matrix


class BSplineCode(NonSystematicCode):
    """An interpolating B-spline through the queries, and a least-squares one through the answers.

    Queries and coded queries stand where ApproxIFER has them (:class:`NonSystematicCode`), both in ``[-1, 1]``. Coded
    query i is the value at beta_i of :func:`interpolating_matrix` of ``(alpha_j, X_j)``; prediction j the value at
    alpha_j of :func:`least_squares_matrix` of ``(beta_i, Y_i)`` over the answers that are there.

    Args:
        k: queries in a group.
        stragglers: S, answers that may be missing.
        byzantine: E, answers that may be wrong.
        workers: n, coded queries of a group; None takes ApproxIFER's number.
        last: the S coded queries to send last.
        degree: p of both splines, 3 for cubic ones.
        knots: inner knots of decoding at most; None while nobody has chosen them.

    Raises:
        ValueError: numbers that cannot be.

    Example:
        >>> code = BSplineCode(k=4, stragglers=2, knots=1)
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
        degree: Degree = 3,
        knots: Knots | None = None,
    ) -> None:
        super().__init__(k, stragglers, byzantine, workers, last)
        if not 1 <= degree <= 5:
            raise ValueError(f"degree={degree}: expected 1 to 5")
        if knots is not None and (knots < 0 or knots != int(knots)):
            raise ValueError(f"knots={knots}: expected a whole number of 0 or more, or null to search for the best")
        self.degree = degree
        self.knots = knots

    def open_settings(self) -> dict[str, tuple[float, ...]]:
        return {"knots": KNOTS} if self.knots is None else {}

    def encoding_matrix(self) -> Tensor:
        return interpolating_matrix(self.alpha, self.degree, self.beta)

    def decoding_matrix(self, answered: Sequence[int]) -> Tensor:
        knots = chosen("knots", self.knots)
        return least_squares_matrix(self.beta[list(answered)], self.degree, int(knots), self.alpha)
