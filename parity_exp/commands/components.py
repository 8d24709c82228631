"""From a config node to an object: what its class complains about becomes one line that names the node.

This file imports nothing that is slow to import, for commands that need no networks.
"""

import math
import pydoc
import sys
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError, UserError
from parity_exp.serving.checks import whole

if TYPE_CHECKING:
    from parity_exp.coding import NonSystematicCode

NOT_FOR_THE_CLASS = {"trainable", "epochs", "fast_epochs", "base_epochs", "convolutional"}
"""Keys of a group that steer the experiment and are not arguments of the group's class."""

REFUSALS = (ValueError, TypeError, ImportError, AttributeError)
"""What a class raises when it refuses its arguments, beside Lightning's own exception."""

PLAIN_TYPES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "null",
}
"""Types of values that YAML has, and what they are called."""

T = TypeVar("T")


def build(config: Any, key: str, **arguments: Any) -> Any:
    """Instantiate a config node.

    Args:
        config: the node.
        key: its name in the config, for messages.
        arguments: what the program knows and the user does not type, such as shapes.

    Raises:
        ConfigError: no such class, or the class refuses its arguments.
    """
    if not isinstance(config, DictConfig):
        group = key.rpartition(".")[2]
        choice = f"{group}={config}" if group == key else f"{group}@{key}={config}"
        raise ConfigError(f"{key}={config}: expected the settings of a config group; to choose from it, write {choice}")
    node = {name: value for name, value in config.items() if name not in NOT_FOR_THE_CLASS}
    try:
        return hydra.utils.instantiate(OmegaConf.create(node), **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if cause is None or isinstance(cause, REFUSALS) or _is_lightnings_refusal(cause):
            reason = str(cause or error).strip().splitlines()[0]
            raise ConfigError(f"{key} ({config.get('_target_')}): {reason}") from None
        raise


def _is_lightnings_refusal(cause: BaseException) -> bool:
    """Whether it is Lightning's; who has not imported Lightning, which takes seconds, cannot have met it."""
    exceptions = sys.modules.get("lightning_fabric.utilities.exceptions")
    return exceptions is not None and isinstance(cause, exceptions.MisconfigurationException)


def build_checked(config: Any, key: str, kind: type[T], **arguments: Any) -> T:
    """Instantiate a config node whose values are of the types that its class's annotations say.

    Args:
        config: the node.
        key: its name in the config, for messages.
        kind: what has to come out.
        arguments: what the program knows and the user does not type.

    Raises:
        ConfigError: no such class, a value of another type, or the class refuses its arguments.
    """
    if isinstance(config, DictConfig):
        _check_types(config, key)
    built = build(config, key, **arguments)
    if not isinstance(built, kind):
        target = config.get("_target_")
        raise ConfigError(f"{key} ({target}): expected a subclass of {kind.__module__}.{kind.__name__} as _target_")
    return built


def _check_types(config: DictConfig, key: str) -> None:
    """Refuse values of another type than their class says, where it names plain ones."""
    for name, kinds in _plain_types(config).items():
        if name not in config:
            continue
        value = config[name]
        fits = type(value) in kinds or (type(value) is int and float in kinds)
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            wanted = " or ".join(text for kind, text in PLAIN_TYPES.items() if kind in kinds)
            raise ConfigError(f"{key}.{name}={'null' if value is None else value}: expected {wanted}")


def _plain_types(config: DictConfig) -> dict[str, set[type]]:
    """The types of the arguments of a node's class that take plain values only."""
    try:
        target: Any = pydoc.locate(str(config.get("_target_")))
        hints = get_type_hints(target.__init__)
    except Exception:
        return {}  # no such class, or one that cannot be asked; building it will tell
    types = {name: set(get_args(hint) or (hint,)) for name, hint in hints.items()}
    return {name: kinds for name, kinds in types.items() if kinds <= PLAIN_TYPES.keys()}


def takes_whole_numbers(config: DictConfig, name: str) -> bool:
    """Whether an argument of a node's class is a number that has to be a whole one."""
    kinds = _plain_types(config).get(name, set())
    return int in kinds and float not in kinds


def is_systematic(config: DictConfig) -> bool:
    """Whether a config's code sends queries as they are; those of before there was a choice do."""
    node = config.get("code")
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    return bool(getattr(pydoc.locate(str(target)), "systematic", True))


def new_non_systematic_code(config: Any, key: str, k: int, **settings: float) -> "NonSystematicCode":
    """A non-systematic code from its config node, with some settings replaced."""
    from parity_exp.coding import NonSystematicCode  # with torch, which a simulation can do without

    kind: type[NonSystematicCode] = NonSystematicCode  # type: ignore[type-abstract]
    return build_checked(config, key, kind, k=k, **settings)


def check_numbers(config: DictConfig) -> None:
    """Refuse values of k, r and the seed that are not whole numbers of the right size.

    Raises:
        ConfigError: with the key, its value and what was expected.
    """
    for key, least in (("k", 2), ("r", 1), ("seed", 0)):
        whole(key, config[key], least)
