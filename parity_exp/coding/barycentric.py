"""Barycentric rational interpolation that decodes from any number of answers, as a code.

Coding by barycentric rational functions whose threshold is flexible is the subject of arXiv 2509.09435 (2025), of which
we know the abstract: results are decoded from whatever answers have come, and the more have come, the more exactly. The
interpolants here are those of Floater and Hormann (Numerische Mathematik 107, 2007), which is our choice: for points
x_0 < ... < x_m and a degree d <= m they blend the polynomials through d + 1 neighbouring points,

    r(z) = sum_i (w_i / (z - x_i)) y_i / sum_i w_i / (z - x_i),
    w_i = (-1)^i sum_{j in J_i} prod_{l = j..j+d, l != i} 1 / |x_i - x_l|,    J_i = {max(0, i-d), ..., min(i, m-d)}.

They pass through all values, reproduce polynomials of degree d, and have no pole on the line, whichever points are
there: the weights are made anew for each set of answers. With d = 0 they are Berrut's with alternating signs.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from parity_exp.coding.berrut import berrut_matrix
from parity_exp.coding.non_systematic import NonSystematicCode, chosen
from parity_exp.ranges import Few, SomeOrNone

DEGREES = (0, 1, 2, 3)
"""What is tried for a degree that is null."""

Degree = Annotated[int, Ge(0), Le(20)]


def floater_hormann_matrix(points: Tensor, degree: int, at: Tensor) -> Tensor:
    """The Floater-Hormann interpolant of some points as a matrix that takes values to values elsewhere.

    Args:
        points: ``(m + 1,)``, all different, in any order, double.
        degree: d; where there are fewer than d + 1 points, one less than there are.
        at: ``(q,)``, where to evaluate.

    Returns:
        ``(q, m + 1)``, rows that sum to 1.
    """
    ascending, order = points.sort()
    count = len(points)
    d = min(degree, count - 1)
    weights = torch.zeros(count, dtype=torch.float64)
    for i in range(count):
        for j in range(max(0, i - d), min(i, count - 1 - d) + 1):
            others = [place for place in range(j, j + d + 1) if place != i]
            weights[i] += 1 / (ascending[i] - ascending[others]).abs().prod()
    weights *= torch.tensor([(-1.0) ** i for i in range(count)], dtype=torch.float64)
    matrix = torch.empty(len(at), count, dtype=torch.float64)
    matrix[:, order] = berrut_matrix(ascending, weights / weights.abs().max(), at)
    return matrix


class BarycentricCode(NonSystematicCode):
    """A Floater-Hormann interpolant through the queries, and another one through whatever answers are there.

    Queries and coded queries stand where ApproxIFER has them (:class:`NonSystematicCode`). Coded query i is the value
    at beta_i of the interpolant through ``(alpha_j, X_j)``; prediction j the value at alpha_j of the interpolant
    through ``(beta_i, Y_i)`` over the answers that are there, one at least. So a group can be decoded at any time.

    Args:
        k: queries in a group.
        stragglers: S, answers that nobody waits for, unless time is up.
        byzantine: E, answers that may be wrong.
        workers: n, coded queries of a group; None takes ApproxIFER's number.
        last: the S coded queries to send last.
        encoder_degree: d of encoding; None while nobody has chosen it.
        decoder_degree: d of decoding.

    Raises:
        ValueError: numbers that cannot be.

    Example:
        >>> code = BarycentricCode(k=4, stragglers=2, encoder_degree=1, decoder_degree=1)
        >>> code.decode_group([None, torch.ones(10), None, None, torch.ones(10), None]).shape
        torch.Size([4, 10])
    """

    def __init__(
        self,
        k: int,
        stragglers: SomeOrNone = 1,
        byzantine: SomeOrNone = 0,
        workers: Few | None = None,
        last: Sequence[SomeOrNone] | None = None,
        encoder_degree: Degree | None = None,
        decoder_degree: Degree | None = None,
    ) -> None:
        super().__init__(k, stragglers, byzantine, workers, last)
        for name, degree in (("encoder_degree", encoder_degree), ("decoder_degree", decoder_degree)):
            if degree is not None and (degree < 0 or degree != int(degree)):
                raise ValueError(f"{name}={degree}: expected 0, 1, 2 or more, or null to search for the best")
        self.encoder_degree = encoder_degree
        self.decoder_degree = decoder_degree

    def open_settings(self) -> dict[str, tuple[float, ...]]:
        degrees = {"encoder_degree": self.encoder_degree, "decoder_degree": self.decoder_degree}
        return {name: DEGREES for name, degree in degrees.items() if degree is None}

    def encoding_matrix(self) -> Tensor:
        return floater_hormann_matrix(self.alpha, int(chosen("encoder_degree", self.encoder_degree)), self.beta)

    def decoding_matrix(self, answered: Sequence[int]) -> Tensor:
        degree = int(chosen("decoder_degree", self.decoder_degree))
        return floater_hormann_matrix(self.beta[list(answered)], degree, self.alpha)
