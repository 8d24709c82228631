"""Codes that train nothing: what a run of one does not have, and how its open settings are chosen."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import nn

from parity_exp.coding import NonSystematicCode
from parity_exp.data import Samples
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.components import new_non_systematic_code
from parity_exp.files.writing import write_text
from parity_exp.training import NonSystematicEvaluator, least_missed, search_settings

log = logging.getLogger(__name__)

GROUPS = 500
"""Validation groups that choices are tried on."""

COMPONENTS = ("encoder", "decoder", "generator", "objective", "initialisation")
"""Groups that a code which trains nothing does without."""

WITHOUT_MEANING = (*COMPONENTS, "r", "batch_groups", "optimizer", "scheduler", "parity", "recipe")


def code_settled(config: DictConfig) -> DictConfig:
    """The config of a run, without what its code does not have.

    Of a non-systematic code ``r`` is n - k, the coded queries that a group costs beyond its own, so that the extra
    machines of policies that count them by r are as many as the code needs.

    Raises:
        ConfigError: the command line says something about parts that the code does not have.
    """
    experiment = Experiment(config)
    if experiment.systematic:
        return config
    code = experiment.non_systematic_code
    name = HydraConfig.get().runtime.choices.get("code")
    for override in HydraConfig.get().overrides.task:
        key = place_of(override)
        if key.partition(".")[0] in WITHOUT_MEANING:
            raise ConfigError(
                f"{override}: code={name} trains nothing and has no {key}, only code.stragglers, code.byzantine and "
                f"code.workers (r is then n - k, here {code.n - code.k}); leave {key} out, or choose code=parity"
            )
    config = config.copy()
    config.r = code.n - code.k
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

    def make_evaluator(code: NonSystematicCode) -> NonSystematicEvaluator:
        return NonSystematicEvaluator(code, base, experiment.device, experiment.splits.normalise)

    code = make_code()
    chosen: dict[str, float] = {}
    if not code.open_settings() and (code.last is not None or not code.stragglers):
        return chosen
    samples = experiment.splits.validation
    samples = Samples(samples.inputs[: GROUPS * code.k], samples.labels[: GROUPS * code.k])
    on = samples, experiment.predictions(base, samples.inputs), experiment.task, experiment.seed
    if code.open_settings():
        found = search_settings(make_code, make_evaluator, *on)
        write_text(table, found.table.to_csv(index=False))
        node.update(found.settings)
        chosen = {**found.settings, f"best_val_reconstruction_{experiment.task.quality}": found.quality}
        words = ", ".join(f"{name} {value:g}" for name, value in found.settings.items())
        log.info("%s: %s, the best of %d choices on validation groups", key, words, len(found.table))
    if code.last is None and code.stragglers:
        node.last = list(least_missed(make_evaluator(make_code()), *on))
        log.info("%s: coded queries %s are missed least and sent last", key, node.last)
    return chosen
