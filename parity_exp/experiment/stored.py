"""Configs of run directories are data: they may come from anywhere, and nothing in them runs code or reads secrets.

What a stored config may describe are objects of this package's components, of ``torch.nn``, ``torch.optim``, networks
of ``torchvision.models``, and Lightning's Trainer. Classes of other modules are made only where the user of this job
has named the module, by ``trust=``, or has a config of his own on the search path that names the class. A config that
is composed here and now is its user's own, and may say what it likes.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.moved_keys import move_stored
from parity_exp.experiment.schema import CONFIG_KINDS, find
from parity_exp.recordings.run_directory import RunDirectory

LIBRARIES = ("torch.nn.", "torch.optim.", "torchvision.models.")
"""What begins so may be a class of these libraries."""

OF_LIBRARIES = ("torch.nn.Module", "torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler")
"""Base classes of what may be taken from there."""

EXACTLY = ("pytorch_lightning.Trainer", "lightning.pytorch.Trainer")

OF_THE_PACKAGE = (
    *CONFIG_KINDS,
    "parity_exp.coding.Code",
    "parity_exp.coding.PositionCode",
    "parity_exp.data.Augmentation",
    "parity_exp.disturbances.helpers.Helper",
    "parity_exp.tasks.Task",
)
"""Base classes of what a config describes."""

PACKAGES = ("parity_exp.coding.", "parity_exp.models.")
"""Modules all of whose classes calculate, and do nothing else."""

RESOLVER = re.compile(r"\$\{.*:", re.DOTALL)
"""An interpolation that calls something, however it is nested or escaped."""

OWN_SOURCES = ("command-line", "hydra.searchpath")
"""How names of config sources begin that the user has added."""


def stored_config(run: RunDirectory, key: str, composed: DictConfig, from_experiment: Sequence[str] = ()) -> DictConfig:
    """The config of an earlier run, once it is known that it can do no harm.

    Args:
        run: its run directory.
        key: the config key that named it, for messages.
        composed: the config of this job, with ``trust``.
        from_experiment: parts that an ``experiment=`` of this job replaces.

    Raises:
        ConfigError: it calls something, or describes what only the user's own config may, with the place in it.
        UserError: it is damaged.
    """
    config = read_config(run)
    for place, text in _texts(OmegaConf.to_container(config)):
        if RESOLVER.search(text):
            raise ConfigError(
                f"{key}={run.path}: its config.yaml has {text} at {place}; what is stored is data, and interpolations "
                "that could read the environment or files are not resolved; write the value there"
            )
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{run.config}: {str(error).splitlines()[0]}; restore it or start a new run") from None
    for place, text in _texts(plain):
        if "${" in text:  # put together from harmless parts
            raise ConfigError(f"{key}={run.path}: its config.yaml has {text} at {place}; write the value there")
    replaced = _replaced(from_experiment)
    for place, node in _objects(plain):
        if not any(place == one or place.startswith(f"{one}.") for one in replaced):
            _check_object(f"{key}={run.path}", place, node, composed, replaced)
    made = OmegaConf.create(plain)
    assert isinstance(made, DictConfig)
    return move_stored(made)


def read_config(run: RunDirectory) -> DictConfig:
    """The config of an earlier run, as it stands there.

    Raises:
        UserError: it is damaged.
    """
    try:
        config = OmegaConf.load(run.config)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{run.config}: not readable as a config ({str(error).splitlines()[0]})") from None
    if not isinstance(config, DictConfig) or "k" not in config:
        raise UserError(f"{run.config}: not the config of a run; restore it or start a new run")
    return config


def _check_object(run: str, place: str, node: dict[str, Any], composed: DictConfig, replaced: Sequence[str]) -> None:
    target = str(node["_target_"])
    trusted = [str(module) for module in composed.get("trust") or ()]
    if any(target.startswith(f"{module}.") for module in trusted) or target in _own_targets():
        return
    try:
        known = _is_known(target)
    except ImportError as error:
        raise ConfigError(f"{run}: its config.yaml has {place}._target_={target}: {error}") from None
    if not known:
        module = target.rpartition(".")[0] or target
        raise ConfigError(
            f"{run}: its config.yaml wants to run {target} at {place}, which is no component of parity_exp, torch.nn, "
            f"torch.optim or torchvision.models; if you know that module and trust it, add trust=[{module}]"
        )
    if target in EXACTLY:
        return
    found = find(target)
    for name in getattr(found, "FROM_USERS_ALONE", ()):
        usual = inspect.signature(found).parameters[name].default
        if node.get(name, usual) != usual and f"{place}.{name}" not in replaced:
            raise ConfigError(
                f"{run}: its config.yaml has {place}.{name}={node[name]}, which lets others run code here; if it is "
                f"what you want, give {place}.{name}= on the command line"
            )


def _is_known(target: str) -> bool:
    """Whether a name is that of a class which does nothing but what its config group is for.

    Raises:
        ImportError: it may be one by its name, but there is none.
    """
    if target in EXACTLY:
        return True
    if not target.startswith(("parity_exp.", *LIBRARIES)):
        return False
    found = find(target)
    origin = f"{getattr(found, '__module__', '')}."
    if not isinstance(found, type):
        if origin.startswith("torchvision.models."):
            return found.__name__ in find("torchvision.models.list_models")()
        return inspect.isfunction(found) and origin.startswith("parity_exp.training.schedules.")
    if origin.startswith(LIBRARIES):
        return any(issubclass(found, kind) for kind in map(find, OF_LIBRARIES))
    if origin.startswith(PACKAGES):
        return True
    return origin.startswith("parity_exp.") and any(issubclass(found, kind) for kind in map(find, OF_THE_PACKAGE))


def _own_targets() -> set[str]:
    """Classes that configs name which the user has put on the search path."""
    targets: set[str] = set()
    if not HydraConfig.initialized():  # a program has none
        return targets
    for source in HydraConfig.get().runtime.config_sources:
        if source.schema == "file" and str(source.provider).startswith(OWN_SOURCES):
            for path in sorted(Path(source.path).rglob("*.yaml")):
                try:
                    content = yaml.safe_load(path.read_text())
                except (OSError, UnicodeDecodeError, yaml.YAMLError):
                    continue  # Hydra tells, if it is wanted
                targets |= {str(node["_target_"]) for _, node in _objects(content)}
    return targets


def _replaced(from_experiment: Sequence[str]) -> list[str]:
    """Places whose values come from this job's own config."""
    if not HydraConfig.initialized():
        return list(from_experiment)
    given = [place_of(override) for override in HydraConfig.get().overrides.task]
    return [*given, *(from_experiment if "experiment" in given else ())]


def _objects(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything with a ``_target_`` in plain values, with its place."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield place, node
        for name, value in node.items():
            yield from _objects(value, f"{place}.{name}".lstrip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _objects(value, f"{place}.{number}")


def _texts(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in plain values, names of keys as well, with its place."""
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield place, str(name)
            yield from _texts(value, f"{place}.{name}".lstrip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _texts(value, f"{place}.{number}")
