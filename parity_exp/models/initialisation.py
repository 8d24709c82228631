"""How the weights of a parity model start."""

from abc import ABC, abstractmethod

from torch import nn

from parity_exp.errors import ConfigError

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Initialisation(ABC):
    """Base class of initialisations."""

    @abstractmethod
    def __call__(self, network: nn.Module, base: nn.Module) -> None:
        """Set the weights of ``network`` in place; ``base`` is the trained base model."""


class Default(Initialisation):
    """Leave what PyTorch's layers start from."""

    def __call__(self, network: nn.Module, base: nn.Module) -> None:
        pass


class Paper(Initialisation):
    """ParM's: linear layers from N(0, 0.01), convolutions Xavier uniform for ReLU, batch norm at 1, biases at 0."""

    def __call__(self, network: nn.Module, base: nn.Module) -> None:
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


class FromBase(Initialisation):
    """Start from the base model's weights.

    Raises:
        ConfigError: the networks' weights differ in name or shape.
    """

    def __call__(self, network: nn.Module, base: nn.Module) -> None:
        ours, theirs = network.state_dict(), base.state_dict()
        different = [key for key in {**ours, **theirs} if _shape(ours, key) != _shape(theirs, key)]
        if different:
            raise ConfigError(
                "initialisation=base: the parity architecture's weights do not fit the base model's "
                f"({different[0]}); give architecture@parity.architecture the same network, "
                "or choose initialisation=default"
            )
        network.load_state_dict(theirs)


def _shape(weights: dict[str, object], key: str) -> object:
    return getattr(weights.get(key), "shape", None)
