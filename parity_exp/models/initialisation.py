"""How the weights of a parity model start."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from parity_exp.errors import ConfigError

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Initialisation(ABC):
    """Base class of initialisations."""

    @abstractmethod
    def __call__(self, network: nn.Module, base: nn.Module, centre: Tensor) -> None:
        """Set a network's weights in place.

        Args:
            network: a parity model.
            base: the trained base model.
            centre: what its outputs are to be spread around, ``(outputs,)``: ``sum_i c[j, i]`` times the task's
                centre, zeros for logits and the mean box of the training labels for boxes.
        """


class Default(Initialisation):
    """Leave what PyTorch's layers start from."""

    def __call__(self, network: nn.Module, base: nn.Module, centre: Tensor) -> None:
        pass


class Paper(Initialisation):
    """ParM's: linear layers from N(0, 0.01), convolutions Xavier uniform for ReLU, batch norm at 1, biases at 0.

    The bias of the last linear layer starts at the centre of what the network is to learn, since of small weights comes
    nothing else at first. For k boxes of one parity query that is k times the mean box, as in ParM's localization;
    logits are spread around 0.
    """

    def __call__(self, network: nn.Module, base: nn.Module, centre: Tensor) -> None:
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
            elif isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("relu"))
            elif isinstance(module, _NORMALISATIONS) and module.affine:
                nn.init.ones_(module.weight)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        last = _last_linear(network)
        if last is not None and last.bias is not None and last.bias.shape == centre.shape:
            with torch.no_grad():
                last.bias.copy_(centre)


class FromBase(Initialisation):
    """Start from the base model's weights.

    Raises:
        ConfigError: the networks' weights differ in name or shape.
    """

    def __call__(self, network: nn.Module, base: nn.Module, centre: Tensor) -> None:
        ours, theirs = network.state_dict(), base.state_dict()
        different = [key for key in {**ours, **theirs} if _shape(ours, key) != _shape(theirs, key)]
        if different:
            raise ConfigError(
                "initialisation=base: the parity architecture's weights do not fit the base model's "
                f"({different[0]}); give architecture@parity.architecture the same network, "
                "or choose initialisation=default"
            )
        network.load_state_dict(theirs)


def _last_linear(network: nn.Module) -> nn.Linear | None:
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _shape(weights: dict[str, object], key: str) -> object:
    return getattr(weights.get(key), "shape", None)
