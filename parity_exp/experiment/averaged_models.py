"""From the sections ``code`` and ``members`` of a config to a code over k different models, and how they come about."""

import pydoc
from functools import partial
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from torch import nn

from parity_exp.coding import FisherAveraging
from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build, build_checked
from parity_exp.experiment.machine import processes
from parity_exp.experiment.networks import new_labelled_network
from parity_exp.files.writing import write_text
from parity_exp.models import load_weights
from parity_exp.models.bank import Scaled
from parity_exp.policies.policy import member_model
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import AveragedModels, LabelledModel, Optimisation


def is_over_models(config: DictConfig) -> bool:
    """Whether the k predictions of a group are of k different models, as the code's class declares it."""
    node = config.get("code")
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    return bool(getattr(pydoc.locate(str(target)), "over_models", False))


def averaging_of(config: DictConfig, splits: Splits) -> FisherAveraging:
    """The code, as its config is now.

    Raises:
        ConfigError: settings that cannot be.
    """
    shapes = {"query_shape": splits.query_shape, "output_shape": (splits.task.outputs,)}
    return build_checked(config.code, "code", FisherAveraging, k=config.k, r=config.r, **shapes)


def averaged_models(config: DictConfig, code: FisherAveraging, splits: Splits) -> AveragedModels:
    """How the k models come about, and the code of them.

    Raises:
        ConfigError: settings that cannot be.
    """
    if processes(config.trainer) > 1:
        raise ConfigError("trainer.devices: the k models of a code over models are trained in one process; take 1")
    settings = config.members
    given = settings.checkpoints
    if given is not None and len(given) != config.k:
        raise ConfigError(f"members.checkpoints: {len(given)} of them; expected k={config.k}, one for each model")
    if given is None and not settings.max_epochs:
        raise ConfigError("members.max_epochs=0: then all k models are the base model; set it to 1 or more")
    members = [_member(config, splits, number) for number in range(config.k)]
    return AveragedModels(code, members, settings.data == "share", config.seed)


def _member(config: DictConfig, splits: Splits, number: int) -> LabelledModel:
    settings, steps = config.members, config.get("optimisation") or {}

    def load(network: nn.Module) -> None:
        load_weights(settings.checkpoints[number], network, f"members.checkpoints[{number}]")

    return LabelledModel(
        name=member_model(number),
        new_network=partial(new_labelled_network, config, "base", splits),
        optimisation=Optimisation(
            build(settings.optimizer, "members.optimizer"),
            build(settings.scheduler, "members.scheduler"),
            steps.get("accumulate_grad_batches", 1),
            steps.get("gradient_clip_val"),
        ),
        epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        seed=settings.seed + 1 + number,
        given=None if settings.checkpoints is None else load,
    )


def new_average(config: DictConfig, splits: Splits) -> nn.Module:
    """A parity model, with random weights."""
    return Scaled(new_labelled_network(config, "base", splits), float(config.k))


def keep_damping(config: DictConfig, run: RunDirectory, damping: float, table: pd.DataFrame) -> None:
    """Put the damping that was chosen into a run's config, and what every choice came to into its table."""
    write_text(run.code_search(), table.to_csv(index=False))
    node: Any = config.code
    node.damping = damping
    run.write_config(config)
