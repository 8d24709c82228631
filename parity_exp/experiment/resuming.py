"""Going on with a run where it stopped: its own config, with what may be another by now."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.job import overlaid
from parity_exp.experiment.result_facts import LENGTH_AND_MACHINE, config_facts
from parity_exp.experiment.sections import changed_by, of_part
from parity_exp.experiment.stored import stored_config
from parity_exp.files.identity import differences, listed, without
from parity_exp.recordings.run_directory import RunDirectory

MAY_DIFFER = (*LENGTH_AND_MACHINE, *of_part("evaluation"))
"""What of that may come to another value: training in two ways would be told of as if it was in one."""


def resumed_config(config: DictConfig, composed: DictConfig, directory: RunDirectory) -> DictConfig:
    """The config of the run in ``resume``, with what this job gives in its place.

    Args:
        config: what Hydra made of the command line, resolved.
        composed: the same before that.
        directory: the run's.

    Raises:
        ConfigError: something else than may change was given, or the run has more epochs already.
        UserError: there is no such run.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError("resume= goes on with one run and cannot be used with a multirun")
    stored = stored_config(RunDirectory.existing(composed.resume, "resume"), "resume", composed)
    config = overlaid(stored, config, changed_by("resume"), "resume")
    _check_unchanged(stored, config)
    _check_length(directory.history, config.trainer.max_epochs)
    return config


def _check_unchanged(stored: DictConfig, config: DictConfig) -> None:
    """Refuse to go on with training in another way than it began.

    Raises:
        ConfigError: with the keys that differ.
    """
    before, now = (without(config_facts(one), MAY_DIFFER) for one in (stored, config))
    if differing := differences(before, now):
        raise ConfigError(
            f"resume={config.resume}: the rest would be trained in another way than what is done, and what differs is "
            f"{listed(differing)}; leave that as it was, or start a new run"
        )


def _check_length(history: Path, wanted: object) -> None:
    """Refuse to end a run before the epochs that it has.

    Raises:
        ConfigError: with how many those are.
    """
    done = len(history.read_text().splitlines()) - 1 if history.is_file() else 0
    if isinstance(wanted, int) and 0 <= wanted < done:
        raise ConfigError(
            f"trainer.max_epochs={wanted}: {done} epochs are trained already; give as many or more, or start a new run"
        )
