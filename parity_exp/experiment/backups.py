"""From the sections ``backup`` and ``multiplexed_backup`` of a config to the small models that stand in."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch import nn

from parity_exp.coding import Code
from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build
from parity_exp.experiment.networks import architecture_for, architecture_of, new_labelled_network, places_network
from parity_exp.models import Multiplexed, multiplexing
from parity_exp.models.narrowing import narrowed
from parity_exp.models.operations import operations
from parity_exp.policies.policy import BACKUP, MULTIPLEXED
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training.labelled_model import Imitation
from parity_exp.training.seeded import BASE_WEIGHTS, seeded

BACKUPS = (BACKUP, MULTIPLEXED)
"""Sections, and names, of models that stand in for the base model."""


def backup_architecture(config: DictConfig, splits: Splits) -> DictConfig:
    """The architecture of ``backup``, made narrow where ``backup.share`` says so.

    Raises:
        ConfigError: nothing of the architecture can be made narrow, or not by so much.
    """
    share = config.backup.get("share")
    if share is None:
        return architecture_of(config, BACKUP)
    node = next(
        (
            one
            for one in (architecture_for(config, BACKUP, splits), architecture_for(config, "base", splits))
            if _widths(one)
        ),
        None,
    )
    if node is None:
        raise ConfigError(
            f"backup.share={share}: {config.architecture.get('_target_')} does not say which of its arguments are "
            "widths (attribute `widths` of the class); give architecture@backup.architecture=NAME of one that does, "
            "such as lenet or mobilenet_v2, or leave backup.share out"
        )
    arguments = {"input_shape": splits.query_shape, "outputs": splits.task.outputs}

    def make(**widths: Any) -> nn.Module:
        network: nn.Module = build(OmegaConf.merge(node, widths), "backup.architecture", **arguments)
        return network

    with seeded(config.backup.seed, BASE_WEIGHTS):
        whole = operations(new_labelled_network(config, "base", splits), splits.query_shape)
        try:
            found = narrowed(make, _widths(node), splits.query_shape, share * whole)
        except ValueError as error:
            raise ConfigError(f"backup.share={share} ({node.get('_target_')}): {error}") from None
    narrow = OmegaConf.merge(node, found)
    assert isinstance(narrow, DictConfig)
    return narrow


def _widths(node: DictConfig) -> dict[str, Any]:
    """The widths of an architecture as its config has them, or else as its class does; none that is empty."""
    kind = get_object(node._target_)
    parameters = inspect.signature(kind).parameters
    given = OmegaConf.to_container(node)
    assert isinstance(given, dict)
    widths = {name: given.get(name, parameters[name].default) for name in getattr(kind, "widths", ())}
    return {name: width for name, width in widths.items() if width not in ([], (), None)}


def multiplexed_code(config: DictConfig, splits: Splits) -> Code:
    """What lays the queries of a task side by side, and tells predictions apart.

    Raises:
        ConfigError: queries that cannot be laid side by side.
    """
    try:
        return multiplexing(config.k, splits.query_shape, splits.task.outputs, splits.texts is not None)
    except ValueError as error:
        raise ConfigError(f"redundancy={MULTIPLEXED}: {error}; take redundancy=approximate_backup") from None


def new_multiplexed_network(config: DictConfig, splits: Splits) -> nn.Module:
    """The network of ``multiplexed_backup``, with random weights."""
    code = multiplexed_code(config, splits)
    with seeded(config.multiplexed_backup.seed, BASE_WEIGHTS):
        network = places_network(architecture_for(config, MULTIPLEXED, splits), f"{MULTIPLEXED}.architecture", code)
    return Multiplexed(network, code.encoder)


def imitation_of(config: DictConfig, section: str, base: Callable[[], nn.Module]) -> Imitation | None:
    """How the model of a section learns from the base model; None where it learns labels alone.

    Args:
        config: the resolved config.
        section: ``base``, ``backup`` or ``multiplexed_backup``.
        base: loads the trained base model.
    """
    settings = config[section]
    share, start = float(settings.get("distillation") or 0.0), bool(settings.get("start"))
    return Imitation(base, share, _start if start else None) if share or start else None


def _start(network: nn.Module, base: nn.Module) -> None:
    assert isinstance(network, Multiplexed)
    network.start_from(base)


def base_weights_of(config: DictConfig, run: RunDirectory) -> Path:
    """Where the trained base model of a job is: in its own run directory, or in the one that it goes on from."""
    own = run.checkpoint("base")
    return own if own.is_file() or config.get("run") is None else RunDirectory(config.run).checkpoint("base")
