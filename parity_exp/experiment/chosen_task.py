"""The task of a config, in place of the data set's own."""

from dataclasses import replace

from omegaconf import DictConfig

from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build_checked
from parity_exp.tasks import Task


def with_task(splits: Splits, config: DictConfig) -> Splits:
    """Splits with the task that the config chooses; without a choice, as they are.

    Raises:
        ConfigError: a base model is to learn the task from labels that are no classes.
    """
    if config.get("task") is None:
        return splits
    chosen: Task = build_checked(config.task, "task", Task)  # type: ignore[type-abstract]
    if not splits.task.class_names and config.base.max_epochs and config.base.checkpoint is None:
        kind = type(chosen).__name__
        raise ConfigError(
            f"task ({kind}): a base model learns it from classes, and dataset={config.dataset.name} has none; give "
            "base.checkpoint, or base.max_epochs=0 for a pretrained model"
        )
    return replace(splits, task=chosen)


def with_alike_groups(splits: Splits, config: DictConfig) -> Splits:
    """Splits whose coding groups have as many queries of one class as the config says.

    Raises:
        ConfigError: there are no classes.
    """
    share = float((config.get("groups") or {}).get("correlated", 0.0))  # runs of before there was a choice
    if not share:
        return splits
    if not splits.task.class_names or splits.task.own_truth or splits.train.labels.dim() != 1:
        raise ConfigError(
            f"groups.correlated={share:g}: groups have queries of one class, and dataset={config.dataset.name} has no "
            "classes to predict; leave it out"
        )
    return replace(splits, correlated=share)
