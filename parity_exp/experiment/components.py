"""From a config node to an object: what its class complains about becomes one line that names the node.

This file imports nothing that is slow to import, for commands that need no networks.
"""

import pydoc
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from parity_exp.checks import SettingError
from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment import library_errors
from parity_exp.experiment.keys import key_of
from parity_exp.experiment.schema import check_component, component_at, kinds, signature_of

if TYPE_CHECKING:
    from parity_exp.coding import NonSystematicCode

REFUSALS = (ValueError, TypeError, ImportError, AttributeError)
"""What a class raises when it refuses its arguments, beside Lightning's own exception."""

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
        if config is None:
            raise ConfigError(f"{key}: nothing is chosen; write {group}=NAME, or choose a recipe that does")
        choice = f"{group}={config}" if group == key else f"{group}@{key}={config}"
        raise ConfigError(f"{key}={config}: expected the settings of a config group; to choose from it, write {choice}")
    try:
        return hydra.utils.instantiate(for_the_class(config, key), **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, SettingError):
            raise ConfigError(cause.within(key).at(key_of)) from None
        if cause is None or isinstance(cause, REFUSALS) or _is_lightnings_refusal(cause):
            # Hydra's lines after the first say nothing to users; what a class says, it may say in several.
            reason = library_errors.all_lines(cause) if cause else str(error).strip().splitlines()[0]
            reason += _not_taken(config, arguments)
            raise ConfigError(f"{key} ({config.get('_target_')}): {reason}") from None
        line = library_errors.explained(cause)
        if line is not None:
            raise ConfigError(f"{key} ({config.get('_target_')}): {line}") from None
        raise


def _not_taken(config: DictConfig, arguments: Mapping[str, Any]) -> str:
    """What classes in this place are given by the program, where somebody's own class does not take all of it."""
    with suppress(ImportError):
        signature = signature_of(str(config.get("_target_")), frozenset())
        if not signature.open and arguments.keys() - signature.arguments.keys():
            return f"; classes in this place take the arguments {', '.join(arguments)}"
    return ""


def for_the_class(config: DictConfig, key: str) -> DictConfig:
    """What of a config node its class gets: all but what others read as well, where the class cannot take it.

    Args:
        config: the node.
        key: its name in the config.
    """
    component = component_at(key)
    others = set() if component is None else component.experiment.keys() & config.keys()
    if others:
        with suppress(ImportError):  # making it tells why
            signature = signature_of(str(config.get("_target_")), frozenset())
            others = set() if signature.open else others - signature.arguments.keys()
    node = OmegaConf.create({name: value for name, value in config.items() if name not in others})
    assert isinstance(node, DictConfig)
    return node


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
        check_component(config, key)
    built = build(config, key, **arguments)
    if not isinstance(built, kind):
        target = config.get("_target_")
        raise ConfigError(f"{key} ({target}): expected a subclass of {kind.__module__}.{kind.__name__} as _target_")
    return built


def takes_whole_numbers(config: DictConfig, name: str) -> bool:
    """Whether an argument of a node's class is a number that has to be a whole one."""
    try:
        arguments = signature_of(str(config.get("_target_")), frozenset()).arguments
    except ImportError:
        return False  # making it tells why
    nouns = {kind.noun for kind in kinds(arguments.get(name, Any))}
    return int in nouns and float not in nouns


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
