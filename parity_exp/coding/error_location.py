"""Find wrong answers among those of a group: fit a rational function, see where its denominator vanishes, and vote.

ApproxIFER (AAAI 2022, arXiv 2109.09868, section 3): along the line the right answers are close to a rational function
p / q of degree k - 1. With E of them wrong, polynomials P and Q of degree k + E - 1 exist with
``P(beta_i) = Y_i Q(beta_i)`` at all points: p and q times a polynomial that vanishes at the wrong ones. So Q is small
there. Every output coordinate is fitted by itself and names its E points with the smallest ``|Q|``; the E points that
most coordinates name are taken for wrong.
"""

import torch
from torch import Tensor


def locate_errors(points: Tensor, answers: Tensor, k: int, errors: int) -> Tensor:
    """The answers that are most likely to be wrong.

    P and Q are written in Chebyshev polynomials and found as the right singular vector of the smallest singular value,
    in double precision: no coefficient has to be fixed, and outputs need no scale.

    Args:
        points: ``(m,)``, the beta_i of the answers, double; m is at least ``k + 2 errors``.
        answers: ``(B, m, C)``, C output coordinates.
        k: queries in a group.
        errors: E, 1 or more.

    Returns:
        ``(B, m)``, E of each row true.
    """
    basis = _chebyshev(points, k + errors).to(answers.device)
    values = answers.double().mT
    values = values / values.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    numerator = basis.expand(*values.shape[:2], *basis.shape)
    # The system is never wider than it is high but for fewer points than unknowns, where SVD still has a null vector.
    system = torch.cat([numerator, -values[..., None] * basis], dim=-1)
    null = torch.linalg.svd(system, full_matrices=True).Vh[..., -1, :]
    denominator = (null[..., k + errors :] @ basis.mT).abs()
    named = denominator.topk(errors, dim=-1, largest=False).indices
    votes = torch.zeros(len(answers), len(points), device=answers.device)
    votes.scatter_add_(1, named.flatten(1), torch.ones_like(named.flatten(1), dtype=votes.dtype))
    wrong = torch.zeros_like(votes, dtype=torch.bool)
    return wrong.scatter_(1, votes.topk(errors, dim=1).indices, True)


def _chebyshev(points: Tensor, count: int) -> Tensor:
    """The first ``count`` Chebyshev polynomials at some points of ``[-1, 1]``, ``(m, count)``."""
    return torch.cos(torch.acos(points.clamp(-1, 1))[:, None] * torch.arange(count, dtype=torch.float64))
