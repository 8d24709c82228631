"""The Fisher-weighted average of networks: the KL barycentre of Gaussians around their outputs, one weight at a time.

Of k networks with parameters ``theta_i`` and diagonal Fisher information ``F_i``, with weights ``beta_i`` that sum to
1, it is ``sum_i beta_i F_i theta_i / sum_i beta_i F_i``: what minimises the weighted sum of the divergences of the k
networks from it, to second order (COIN, ISIT 2024, arXiv 2409.01420). For a Gaussian around the outputs a diagonal
element is ``E sum_c (d f_c / d theta)^2`` over queries.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parity_exp.devices.placement import on_device

Diagonal = dict[str, Tensor]
"""For each parameter by its name a tensor of its shape."""


def diagonal_fisher(network: nn.Module, queries: Tensor, seed: int, device: torch.device | str = "cpu") -> Diagonal:
    """The diagonal Fisher information of a Gaussian around a network's outputs.

    For each query the outputs are added up with random signs, once; the mean square of the sum's derivative is the sum
    over outputs of the squares of theirs, and it takes one pass backward whatever the number of outputs is.

    Args:
        network: ``(n, ...)`` to ``(n, *out)``; a copy of it is used, in evaluation mode.
        queries: ``(N, ...)``, as it sees them.
        seed: of the signs.
        device: where it runs.

    Returns:
        By parameter, in single precision, on the CPU; zeros for what the outputs do not depend on.
    """
    network = on_device(network, device).eval().requires_grad_(True)
    named = dict(network.named_parameters())
    sums = {name: torch.zeros_like(parameter, dtype=torch.float32) for name, parameter in named.items()}
    random = torch.Generator().manual_seed(seed)
    for query in queries:
        outputs: Tensor = network(query[None].to(device))
        signs = torch.randint(0, 2, outputs.shape, generator=random).to(outputs) * 2 - 1
        derivatives = torch.autograd.grad((outputs * signs).sum(), list(named.values()), allow_unused=True)
        for name, derivative in zip(named, derivatives, strict=True):
            if derivative is not None:
                sums[name] += derivative.float() ** 2
    return {name: (total / max(1, len(queries))).cpu() for name, total in sums.items()}


def fisher_average(
    states: Sequence[dict[str, Tensor]],
    diagonals: Sequence[Diagonal],
    weights: Sequence[float],
    damping: float = 0.0,
) -> dict[str, Tensor]:
    """The state of the average of some networks.

    Args:
        states: their ``state_dict``.
        diagonals: their diagonal Fisher information, by parameter.
        weights: beta, 0 or more, at least one above; what they sum to makes no difference.
        damping: added to every element, in means of the elements of all networks' diagonals; with more of it the
            average comes closer to the plain one.

    Returns:
        What is no parameter, such as running means of batch normalisation, is averaged plainly, and what is no number
        with a fraction is as in the first network. Where no network's output depends on a parameter, its average is
        plain.
    """
    shares = [weight / sum(weights) for weight in weights]
    floor = damping * sum(_mean(diagonal) for diagonal in diagonals) / len(diagonals)
    averaged: dict[str, Tensor] = {}
    for name, first in states[0].items():
        if not first.is_floating_point():
            averaged[name] = first.clone()
            continue
        values = [state[name].double() for state in states]
        plain = torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum(0)
        if name in diagonals[0]:
            fisher = [
                share * (diagonal[name].double() + floor) for share, diagonal in zip(shares, diagonals, strict=True)
            ]
            total = torch.stack(fisher).sum(0)
            weighted = torch.stack([one * value for one, value in zip(fisher, values, strict=True)]).sum(0)
            plain = torch.where(total > 0, weighted / total, plain)
        averaged[name] = plain.to(first.dtype)
    return averaged


def _mean(diagonal: Diagonal) -> float:
    numbers = sum(element.numel() for element in diagonal.values())
    return float(sum(float(element.double().sum()) for element in diagonal.values())) / max(1, numbers)
