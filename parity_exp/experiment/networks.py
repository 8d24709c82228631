"""From the architectures of a config to networks that fit the data and the code."""

import math
import pydoc
from typing import Any

import torch
from hydra.utils import get_object
from omegaconf import DictConfig
from torch import nn

from parity_exp.coding import Code, Decoder, Encoder, Grid
from parity_exp.coding.token_grid import TokenGrid
from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment import library_errors
from parity_exp.experiment.components import build
from parity_exp.models.places import CannotKeepPlacesApartError, PlacesApart, places_apart
from parity_exp.models.token_places import TokensApart, TokensTogether
from parity_exp.training.networks import UnfitNetworkError, fitting
from parity_exp.training.seeded import BASE_WEIGHTS, PARITY_WEIGHTS, seeded


def architecture_of(config: DictConfig, section: str) -> DictConfig:
    """The architecture of ``base``, ``parity`` or ``backup``."""
    return config[section].architecture or config.architecture


def architecture_for(config: DictConfig, section: str, splits: Splits) -> DictConfig:
    """The same with what it leaves open about the data.

    Raises:
        ConfigError: it takes quantities, and the data are token ids.
    """
    node = architecture_of(config, section)
    if splits.texts is None:
        return node
    target = node.get("_target_")
    if getattr(pydoc.locate(str(target)), "reads_tokens", True) is False:
        key = "architecture" if config[section].architecture is None else f"{section}.architecture"
        raise ConfigError(
            f"{key} ({target}): it calculates with a query's numbers, and those of dataset={config.dataset.name} are "
            "token ids; choose architecture=text_transformer or architecture=transformers_encoder"
        )
    if "vocabulary" in node and node.vocabulary is None:
        node = node.copy()
        node.vocabulary = splits.texts.size
    return node


def new_labelled_network(
    config: DictConfig, section: str, splits: Splits, architecture: DictConfig | None = None
) -> nn.Module:
    """A network that learns labels, ``base`` or ``backup``, with random weights.

    Args:
        config: the resolved config.
        section: of the network.
        splits: the data set.
        architecture: None takes the section's own.
    """
    key = "architecture" if section == "base" else f"{section}.architecture"
    node = architecture_for(config, section, splits) if architecture is None else architecture
    with seeded(config[section].seed, BASE_WEIGHTS):
        return _network(node, key, splits.query_shape, splits.task.outputs)


def new_parity_networks(config: DictConfig, code: Code, splits: Splits) -> list[nn.Module]:
    """r networks for a code's parity queries, with random weights."""
    with seeded(config.seed, PARITY_WEIGHTS):
        return [_parity_network(config, code, splits) for _ in range(config.r)]


def _parity_network(config: DictConfig, code: Code, splits: Splits) -> nn.Module:
    architecture, key = architecture_for(config, "parity", splits), "parity.architecture"
    encoder, decoder = code.encoder, code.decoder
    if isinstance(encoder.grid, TokenGrid):
        return _token_network(architecture, key, encoder.grid, decoder)
    if not decoder.by_place:
        return _network(architecture, key, encoder.parity_shape, decoder.parity_outputs)
    return places_network(architecture, key, code)


def places_network(architecture: DictConfig, key: str, code: Code) -> PlacesApart:
    """A network that keeps the places of a code's parity queries apart, with random weights.

    Args:
        architecture: of what all places share.
        key: its name in the config, for messages.
        code: its encoder lays queries side by side, its decoder reads each at its own place.

    Raises:
        ConfigError: the architecture cannot.
    """
    encoder, decoder = code.encoder, code.decoder
    if isinstance(encoder.grid, TokenGrid):
        apart = _token_network(architecture, key, encoder.grid, decoder)
        assert isinstance(apart, PlacesApart)
        return apart
    assert isinstance(encoder.grid, Grid)
    outputs = math.prod(decoder.output_shape)
    try:
        network = _places_apart(architecture, key, encoder.grid, encoder.parity_shape, outputs)
    except CannotKeepPlacesApartError as error:
        raise ConfigError(
            f"{key} ({architecture.get('_target_')}) cannot keep places apart: {error}; choose decoder=residual"
        ) from None
    _fitting(network, architecture, key, encoder.parity_shape, decoder.parity_outputs)
    return network


def keeps_places_apart(config: DictConfig, encoder: Encoder, outputs: int) -> bool:
    """Whether the parity models' architecture can keep places apart, as it declares or as a try shows.

    A class says ``sees_places = False`` where it is not worth it. What says nothing has to have convolutions.
    """
    architecture = architecture_of(config, "parity")
    declared = getattr(pydoc.locate(str(architecture.get("_target_"))), "sees_places", None)
    if encoder.grid is None or declared is False:
        return False
    if isinstance(encoder.grid, TokenGrid):
        return bool(declared)
    arguments = architecture, "parity.architecture", encoder.grid, encoder.parity_shape, outputs
    for device in ("meta", "cpu"):  # some classes compute with their weights, which the first does not have
        try:
            with torch.device(device), torch.random.fork_rng(devices=[]):
                network = _places_apart(*arguments)
        except CannotKeepPlacesApartError:
            continue
        except (ConfigError, NotImplementedError, RuntimeError, TypeError):
            continue  # making it in earnest says what is wrong
        return bool(declared) or any(isinstance(part, nn.Conv2d) for part in network.modules())
    return False


def _places_apart(architecture: DictConfig, key: str, grid: Grid, shape: tuple[int, ...], outputs: int) -> PlacesApart:
    def make(**arguments: Any) -> nn.Module:
        network: nn.Module = build(architecture, key, **arguments)
        return network

    settings = getattr(get_object(architecture._target_), "cell_settings", None)
    return places_apart(make, grid, shape, outputs, settings)


def _token_network(architecture: DictConfig, key: str, grid: TokenGrid, decoder: Decoder) -> nn.Module:
    apart = decoder.by_place
    outputs = math.prod(decoder.output_shape) if apart else decoder.parity_outputs
    network = build(architecture, key, input_shape=(grid.length,), outputs=outputs)
    try:
        places = TokensApart(network, grid) if apart else TokensTogether(network, grid)
    except ValueError as error:
        raise ConfigError(f"{key} ({architecture.get('_target_')}): {error}") from None
    return _fitting(places, architecture, key, (grid.k * grid.length,), decoder.parity_outputs)


def _network(architecture: DictConfig, key: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    network: nn.Module = build(architecture, key, input_shape=shape, outputs=outputs)
    return _fitting(network, architecture, key, shape, outputs)


def _fitting(network: nn.Module, architecture: DictConfig, key: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    try:
        return fitting(network, shape, outputs)
    except UnfitNetworkError as error:
        reason = str(error)
        if isinstance(error.__cause__, Exception):
            cause = error.__cause__
            found = library_errors.explained(cause) or library_errors.in_one_line(cause)
            reason = f"cannot take queries of shape {shape}: {found}"
        raise ConfigError(f"{key} ({architecture.get('_target_')}) {reason}") from None
