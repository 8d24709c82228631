"""What every job does around its work: its config and environment on record, its tracker opened and closed."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.components import build_checked
from parity_exp.experiment.moved_keys import place_now
from parity_exp.process.side_channels import beside
from parity_exp.recordings.descriptions import components_in, write_descriptions
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Guarded, Job, Tracker

log = logging.getLogger(__name__)


def resolved(config: DictConfig) -> DictConfig:
    """The config with every interpolation replaced by its value."""
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    assert isinstance(plain, DictConfig)
    return plain


def overlaid(
    stored: DictConfig,
    composed: DictConfig,
    may_change: tuple[str, ...],
    key: str,
    from_experiment: tuple[str, ...] = (),
) -> DictConfig:
    """A stored config with what was given on the command line in its place.

    Args:
        stored: the config of an earlier run.
        composed: what Hydra made of the command line.
        may_change: the parts that may differ from the earlier run.
        key: the config key that named the run, for messages.
        from_experiment: parts that are taken from ``experiment=`` where that is given.

    Raises:
        ConfigError: something else was given on the command line.
    """
    config = stored.copy()
    OmegaConf.update(config, "trust", composed.get("trust") or [], force_add=True)
    for part in from_experiment:
        if part not in config:  # a run of before there was this part
            OmegaConf.update(config, part, composed[part], force_add=True)
    given = [(override, place_now(place_of(override))) for override in HydraConfig.get().overrides.task]
    for part in {re.split(r"[./]", path)[0] for _, path in given} & set(may_change):
        if part not in config:  # likewise
            OmegaConf.update(config, part, composed[part], force_add=True)
    if from_experiment and any(path == "experiment" for _, path in given):
        for part in from_experiment:
            OmegaConf.update(config, part, composed[part], merge=False, force_add=True)
    # Whole groups first: a value inside one belongs to the choice that was given with it, wherever that stands.
    for override, path in sorted(given, key=lambda pair: pair[1].count(".")):
        if path == "experiment" and from_experiment:
            continue
        if re.split(r"[./]", path)[0] not in (*may_change, key, "trust"):
            raise ConfigError(
                f"{override}: with {key}= the experiment stays as it was; only {', '.join(may_change)} may change"
            )
        parent = path.rpartition(".")[0]
        if parent and OmegaConf.select(config, parent) is None:
            group = re.split(r"[./]", path)[0]
            raise ConfigError(f"{override}: the run in {key}= has no {parent}; choose it as well, with {group}=")
        OmegaConf.update(config, path, OmegaConf.select(composed, path), merge=False, force_add=True)
    return config


@contextmanager
def tracked(command: str, config: DictConfig, run: RunDirectory, resumed: bool = False) -> Iterator[Tracker]:
    """Put the config and the environment on record, and track what happens inside the block.

    The tracker is closed however the block ends, and told whether it succeeded.
    """
    plain = put_on_record(config, run)
    tracker = Guarded(build_checked(config.tracker, "tracker", Tracker))  # type: ignore[type-abstract]
    succeeded = False
    try:
        tracker.start(
            Job(
                command=command,
                run_dir=run.path,
                config=plain,
                sweep=sweep_name(),
                name=" ".join(HydraConfig.get().overrides.task) or None,
                resumed=resumed,
            )
        )
        yield tracker
        succeeded = True
    finally:
        tracker.finish(succeeded)


def put_on_record(config: DictConfig, run: RunDirectory) -> dict[str, Any]:
    """Write the config, the environment, and what classes say of themselves; return the config as plain values."""
    run.write_config(config)
    run.write_environment(config.seed, devices())
    plain: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    with beside("descriptions of components"):
        write_descriptions(run.path, _classes(plain))
    return plain


def _classes(config: dict[str, Any]) -> dict[str, Any]:
    """The class of each component of a config by its place, of those that this job has made."""
    found = {}
    for place, target in components_in(config):
        module, _, name = target.rpartition(".")
        made = getattr(sys.modules.get(module), name, None)  # what has not been imported by now is not used
        if made is not None:
            found[place] = made
    return found


def sweep_name() -> str | None:
    """The sweep that this job belongs to: the last two folders of its directory, date and time."""
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        return None
    return "/".join(Path(hydra.sweep.dir).parts[-2:])


def devices() -> list[str]:
    """The accelerators that can be seen, or the CPU."""
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    other = None if names else torch.accelerator.current_accelerator(check_available=True)
    if other is not None:
        names = [f"{other.type}:{index}" for index in range(torch.accelerator.device_count())]
    return names or [f"cpu ({torch.get_num_threads()} threads)"]
