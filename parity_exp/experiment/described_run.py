"""The config of a run whose objects a program has made: the defaults, with what describes these objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.job import put_on_record
from parity_exp.experiment.own_folder import refuse_strangers
from parity_exp.experiment.result_facts import config_facts, content_facts
from parity_exp.experiment.stored import stored_config
from parity_exp.files.identity import Identity
from parity_exp.recordings.run_directory import RunDirectory

DEFAULTS = ("tracker=none",)
"""Choices of a run that a program has made, beside what it says itself."""


def described_experiment(values: Mapping[str, Any], changed: Mapping[str, Any], splits: Splits) -> Experiment:
    """The experiment of a config with some sections replaced.

    Args:
        values: what stands at a place of the config instead of its default.
        changed: single settings of places that otherwise stay.
        splits: the data, which are not read again.

    Raises:
        ConfigError: a value that no config takes.
    """
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [*DEFAULTS])
    OmegaConf.set_struct(config, False)
    for place, value in values.items():
        OmegaConf.update(config, place, value, merge=False, force_add=True)
    for place, value in changed.items():
        OmegaConf.update(config, place, value, force_add=True)
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    assert isinstance(plain, DictConfig)
    return Experiment(plain, splits)


def check_networks(experiment: Experiment, base: Mapping[str, Any], parities: Mapping[str, Any] | None) -> None:
    """Refuse a description from which commands would make other networks than the program has.

    Args:
        experiment: of the description.
        base: the weights of the program's base model.
        parities: of one of its parity models; None: it has none.

    Raises:
        ConfigError: names or shapes of weights differ.
    """
    pairs = [("base", base, experiment.new_base_network().state_dict())]
    if parities is not None:
        pairs.append(("parity", parities, experiment.new_parity_networks()[0].state_dict()))
    for name, ours, theirs in pairs:
        if {key: weight.shape for key, weight in ours.items()} != {key: one.shape for key, one in theirs.items()}:
            raise ConfigError(
                f"folder: from the class and its arguments commands would make another network than {name}; give "
                "functools.partial(CLASS, ...) with all of its arguments in its place, or leave folder out"
            )


def stored_experiment(
    folder: Path, trust: Sequence[str], changed: Mapping[str, Any] | None = None, splits: Splits | None = None
) -> Experiment:
    """The experiment of a run directory.

    Args:
        folder: the run directory.
        trust: modules of the user's that its config may name.
        changed: settings that take the place of its own.
        splits: other data than its own; None: its own.

    Raises:
        UserError: it is no run directory, damaged, or names what is not to be trusted.
    """
    run = RunDirectory.existing(folder, "trained")
    config = stored_config(run, "trained", OmegaConf.create({"trust": list(trust)}))
    for place, value in (changed or {}).items():
        OmegaConf.update(config, place, value, force_add=True)
    return Experiment(config, splits, run)


def begin(run: RunDirectory, experiment: Experiment, content: Mapping[str, str], command: str = "train") -> None:
    """Make a folder the run's own, and put config and environment into it.

    Args:
        run: the folder.
        experiment: of the run.
        content: hashes of what the config does not name.
        command: what would have written it.

    Raises:
        UserError: it holds another run; the message says what differs.
    """
    config = experiment.config
    facts = content_facts(config) | experiment.data_facts | dict(content)
    identity = Identity(command, config_facts(config), facts)
    refuse_strangers(run.path, identity, "folder")
    run.path.mkdir(parents=True, exist_ok=True)
    identity.write(run.path)
    run.metrics.unlink(missing_ok=True)
    put_on_record(config, run)
