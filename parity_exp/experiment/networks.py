"""From the architectures of a config to networks that fit the data and the code."""

from omegaconf import DictConfig
from torch import nn

from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment import library_errors
from parity_exp.experiment.components import build
from parity_exp.training.networks import UnfitNetworkError, fitting
from parity_exp.training.seeded import BASE_WEIGHTS, PARITY_WEIGHTS, seeded


def architecture_of(config: DictConfig, section: str) -> DictConfig:
    """The architecture of ``base``, ``parity`` or ``backup``."""
    return config[section].architecture or config.architecture


def new_labelled_network(config: DictConfig, section: str, splits: Splits) -> nn.Module:
    """A network that learns labels, ``base`` or ``backup``, with random weights."""
    key = "architecture" if section == "base" else f"{section}.architecture"
    with seeded(config[section].seed, BASE_WEIGHTS):
        return _network(architecture_of(config, section), key, splits.query_shape, splits.task.outputs)


def new_parity_networks(config: DictConfig, shape: tuple[int, ...], outputs: int) -> list[nn.Module]:
    """r networks with random weights.

    Args:
        config: the whole config.
        shape: of a parity query.
        outputs: numbers that a parity model outputs.
    """
    with seeded(config.seed, PARITY_WEIGHTS):
        architecture = architecture_of(config, "parity")
        return [_network(architecture, "parity.architecture", shape, outputs) for _ in range(config.r)]


def _network(architecture: DictConfig, key: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    network: nn.Module = build(architecture, key, input_shape=shape, outputs=outputs)
    try:
        return fitting(network, shape, outputs)
    except UnfitNetworkError as error:
        reason = str(error)
        if isinstance(error.__cause__, Exception):
            cause = error.__cause__
            found = library_errors.explained(cause) or library_errors.in_one_line(cause)
            reason = f"cannot take queries of shape {shape}: {found}"
        raise ConfigError(f"{key} ({architecture.get('_target_')}) {reason}") from None
