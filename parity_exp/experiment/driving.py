"""From a config to the arguments of ``parity_exp.drive``."""

import importlib.util
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from parity_exp.client.options import Options
from parity_exp.client.remote import Remote
from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.components import build_checked
from parity_exp.experiment.job import overlaid, resolved
from parity_exp.experiment.sections import changed_by, of_part
from parity_exp.experiment.stored import stored_config
from parity_exp.load import Load
from parity_exp.recordings.run_directory import RunDirectory

NEEDED = {"http": ("httptools", "uvloop"), "grpc": ("grpc", "google.protobuf", "uvloop")}
"""Libraries that each way of asking needs."""

OF_LOAD = ("load", "url", "name", "model", "model_version", "client")
"""Sections that say what is asked, where, and how."""

DATA = ("dataset", "setting", "experiment")
"""Groups by which somebody chooses data."""


def driven_config(composed: DictConfig) -> DictConfig:
    """The config of this job or, with ``run=``, a trained run's data under this job's load; without any the data are
    null.

    Raises:
        ConfigError: no ``url=``, or what has no meaning beside ``run=``.
        UserError: no such run, or what asking needs is not installed.
    """
    if composed.url is None:
        raise ConfigError("url: load needs a server to ask; give url=http://HOST:PORT, or grpc://HOST:PORT")
    missing = [name for name in NEEDED["grpc" if composed.url.startswith("grpc") else "http"] if not _is_there(name)]
    if missing:
        raise UserError(f"load: {', '.join(missing)} not installed; pip install 'parity_exp[endpoint]'")
    config = resolved(composed)
    if composed.run is not None:
        trained = RunDirectory.existing(composed.run, "run")
        return overlaid(stored_config(trained, "run", composed, OF_LOAD), config, changed_by("load"), "run", OF_LOAD)
    places = [place_of(override) for override in HydraConfig.get().overrides.task]
    if not any(place == group or place.startswith((f"{group}.", f"{group}/")) for place in places for group in DATA):
        config.dataset = None
    return config


def driving_arguments(config: DictConfig) -> dict[str, Any]:
    """Arguments of :func:`parity_exp.drive`, by name; data are read.

    Args:
        config: what :func:`driven_config` has made.

    Raises:
        ConfigError: a value that cannot be.
        UserError: data that are missing or damaged.
    """
    client: Any = OmegaConf.to_container(config.client)
    data: dict[str, Any] = {}
    if config.dataset is not None:
        trained = None if config.run is None else RunDirectory(config.run)
        splits = Experiment(config, trained=trained).splits
        data = {"queries": splits.normalise(splits.test.inputs)}
        if not splits.task.own_truth:  # otherwise nobody here knows what is right
            task = splits.task
            data |= {"labels": splits.test.labels, "task": task, "default": task.default(splits.train.labels)}
    return data | {
        "url": config.url,
        "name": config.name,
        "model": config.model,
        "model_version": config.model_version,
        "load": build_checked(config.load, "load", Load),  # type: ignore[type-abstract]
        "options": Options(**client),
        "seed": config.seed,
    }


def recorded_config(config: DictConfig) -> DictConfig:
    """What the run directory says was run: the server in the place of policies, and nothing of what it has inside."""
    here = [*OF_LOAD, "k", "r", "seed", "run", "outputs", "tracker", "trust"]
    known = [] if config.dataset is None else of_part("data", "base", "code")
    kept = [str(key) for key in config if key in (*here, *known)]
    plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, kept))
    remote = {"_target_": f"{Remote.__module__}.{Remote.__qualname__}"}
    recorded = OmegaConf.create({**plain, "redundancy": {config.name: remote}, "straggler": {}})
    assert isinstance(recorded, DictConfig)
    return recorded


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
