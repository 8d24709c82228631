"""Codes that train nothing: what a run of one does not have, and how its open settings are chosen."""

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from parity_exp.coding import NonSystematicCode
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.averaged_models import keep_damping
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.components import new_non_systematic_code
from parity_exp.experiment.sections import OF_TRAINING
from parity_exp.files.writing import write_text
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import AveragedModels, Study, WholeCode, code_choice
from parity_exp.training.code_choice import Chosen

log = logging.getLogger(__name__)

COMPONENTS = ("encoder", "decoder", "generator", "objective", "initialisation")
"""Groups that a code which trains nothing does without."""

WITHOUT_MEANING = (*OF_TRAINING, "recipe")


def code_settled(config: DictConfig) -> DictConfig:
    """The config of a run, without what its code does not have.

    Of a non-systematic code ``r`` is n - k, the coded queries that a group costs beyond its own, so that the extra
    machines of policies that count them by r are as many as the code needs.

    Raises:
        ConfigError: the command line says something about parts that the code does not have.
    """
    experiment = Experiment(config)
    if experiment.over_models:
        _refuse_parts("has k models of one architecture, of section members, and no {key}", ("r",))
        return _without_parts(config)
    if experiment.systematic:
        return config
    code = experiment.non_systematic_code
    _refuse_parts(
        "trains nothing and has no {key}, only code.stragglers, code.byzantine and code.workers "
        f"(r is then n - k, here {code.n - code.k})"
    )
    config = _without_parts(config)
    config.r = code.n - code.k
    return config


def _refuse_parts(has: str, meant: Collection[str] = ()) -> None:
    """Refuse a command line that says something about parts that the code does not have.

    Args:
        has: what the code is, and that it has no ``{key}``, for the message.
        meant: parts that have a meaning all the same.

    Raises:
        ConfigError: with the override.
    """
    name = HydraConfig.get().runtime.choices.get("code")
    for override in HydraConfig.get().overrides.task:
        key = place_of(override)
        part = key.partition(".")[0]
        if part in WITHOUT_MEANING and part not in meant:
            raise ConfigError(f"{override}: code={name} {has.format(key=key)}; leave {key} out, or choose code=parity")


def _without_parts(config: DictConfig) -> DictConfig:
    config = config.copy()
    for part in COMPONENTS:
        config[part] = None
    return config


def choose_settings(
    experiment: Experiment, node: DictConfig, key: str, base: nn.Module, table: Path
) -> dict[str, float]:
    """Choose on validation data what a code's config leaves open, and put it there.

    Args:
        experiment: has the data.
        node: the code's config, which is changed.
        key: its name, for messages.
        base: the trained base model.
        table: CSV file for what every choice came to.

    Returns:
        What was chosen of numbers, and ``best_val_reconstruction_<quality>``; nothing where nothing was open.
    """

    def make_code(**settings: float) -> NonSystematicCode:
        return new_non_systematic_code(node, key, experiment.k, **settings)

    chosen = code_choice.choose_settings(make_code, base, experiment.splits, experiment.device, experiment.seed)
    if chosen.table is not None:
        write_text(table, chosen.table.to_csv(index=False))
    keep_choice(chosen, node, key)
    return chosen.metrics


def keeping_choices(experiment: Experiment, run: RunDirectory) -> Study:
    """The experiment's study; what is chosen for its code, where it trains nothing, goes to the run's config."""
    study = experiment.study
    if isinstance(study.coded, AveragedModels):
        return replace(study, coded=replace(study.coded, keep=partial(keep_damping, experiment.config, run)))
    if not isinstance(study.coded, WholeCode):
        return study

    def keep(chosen: Chosen) -> None:
        keep_choice(chosen, experiment.config.code, "code")
        run.write_config(experiment.config)

    return replace(study, coded=replace(study.coded, keep=keep))


def keep_choice(chosen: Chosen, node: DictConfig, key: str) -> None:
    """Put into a code's config what was chosen for it.

    Args:
        chosen: numbers, and which coded queries are sent last.
        node: the code's config, which is changed.
        key: its name, for messages.
    """
    if chosen.table is not None:
        node.update(chosen.settings)
        words = ", ".join(f"{name} {value:g}" for name, value in chosen.settings.items())
        log.info("%s: %s, the best of %d choices on validation groups", key, words, len(chosen.table))
    if chosen.last is not None:
        node.last = chosen.last
        log.info("%s: coded queries %s are missed least and sent last", key, node.last)
