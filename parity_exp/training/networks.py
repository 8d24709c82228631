"""A network that fits: it takes queries of a shape and outputs as many numbers as a prediction has."""

import copy

import torch
from torch import Tensor, nn

from parity_exp.process.side_channels import in_a_line


class UnfitNetworkError(ValueError):
    """A network that cannot do what it is for; where its own code has failed, that is the cause."""


def fitting(network: nn.Module, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The network, ready to be trained, once it has taken two queries.

    Args:
        network: anybody's.
        shape: of one query.
        outputs: numbers in one prediction.

    Raises:
        UnfitNetworkError: it cannot take such queries, or outputs something else.
    """
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, *shape))
    except Exception as error:
        # It may be anybody's network, which fails in whatever way it likes.
        raise UnfitNetworkError(f"cannot take queries of shape {shape}: {in_a_line(error)}") from error
    if not isinstance(output, Tensor) or output.shape != (2, outputs):
        raise UnfitNetworkError(f"must output ({outputs},) for a query of shape {shape}")
    return network.train()


def learns_alone(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Find out whether a network can learn from one sample at a time.

    Raises:
        UnfitNetworkError: it cannot, as one with batch normalisation.
    """
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(network).train()(torch.zeros(1, *shape))
    except Exception as error:
        raise UnfitNetworkError(f"batches have one sample: {in_a_line(error)}") from error
