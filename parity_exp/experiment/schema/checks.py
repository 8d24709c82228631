"""Check a composed config against the schema, before anything is loaded, trained or written."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from parity_exp.errors import ConfigError
from parity_exp.experiment.schema.config import CONFIG, HYDRAS, Component, Named
from parity_exp.experiment.schema.signatures import Signature, signature_of
from parity_exp.experiment.suggestions import did_you_mean
from parity_exp.values import LISTS, MAPPINGS, fits, kinds, words

LONGEST = 100
"""Characters of a value that are shown."""


def check_config(config: DictConfig, networks: bool = True, complete: bool = False) -> None:
    """Refuse a config in which a value is not of its type or not in its range.

    Args:
        config: the whole of it, or some of its sections; those that are missing are not looked at.
        networks: also look at components that only commands with networks need.
        complete: also refuse keys that no section knows, and keys that are missing; the configs of older runs may have
            other ones.

    Raises:
        ConfigError: with the key, its value and what was expected.
    """
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}=???: expected a value") from None
    except InterpolationResolutionError as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    _check_section("", CONFIG, plain, _Wanted(networks, complete))


def check_component(config: DictConfig, key: str) -> None:
    """Refuse the settings of one component in which a value is not what its class says.

    Args:
        config: the settings.
        key: their place in the config.

    Raises:
        ConfigError: with the key, its value and what was expected.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    _check_component(key, component_at(key) or Component(""), plain, _Wanted(True, True))


def component_at(key: str) -> Component | None:
    """What the schema says about the component at a place in the config; None: nothing."""
    entry: Any = CONFIG
    for part in key.split("."):
        if isinstance(entry, Named):
            entry = entry.component
        elif isinstance(entry, Component):
            entry = entry.experiment.get(part)
        elif isinstance(entry, dict):
            entry = entry.get(part)
        else:
            return None
    return entry if isinstance(entry, Component) else None


def _narrowed_refusal(key: str, value: Any, annotation: Any) -> str:
    """The refusal of the one wrong value in a mapping, or in a list that could be a single value, or of the whole."""
    if isinstance(value, Mapping) and any(kind.origin in MAPPINGS for kind in kinds(annotation)):
        inner = _inner(annotation)
        for name, one in value.items():
            if not fits(one, inner):
                return refusal(f"{key}.{name}", one, inner)
    several_or_one = any(kind.origin not in LISTS and kind.origin is not type(None) for kind in kinds(annotation))
    if isinstance(value, list) and several_or_one:
        wrong = [one for one in value if isinstance(one, list | dict) or not fits(one, annotation)]
        return refusal(key, wrong[0] if wrong else value, annotation)
    return refusal(key, value, annotation)


def refusal(key: str, value: Any, annotation: Any) -> str:
    """The line that refuses a value: with its key, and what was expected."""
    shown = "null" if value is None else str(value)
    shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
    return f"{key}={shown}: expected {words(annotation, value)}"


class _Wanted:
    """What of a config is looked at; see :func:`check_config`."""

    def __init__(self, networks: bool, complete: bool) -> None:
        self.networks = networks
        self.complete = complete


def _check_section(key: str, section: Mapping[str, Any], values: Any, wanted: _Wanted) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}={_shown(values)}: expected a section with {', '.join(section)}")
    for name, entry in section.items():
        if name in values:
            _check_entry(f"{key}.{name}" if key else name, entry, values[name], wanted)
        elif isinstance(entry, Named) and wanted.complete and entry.wanted:
            raise ConfigError(f"{name}: expected {entry.words}")
        elif wanted.complete and not isinstance(entry, Named):
            raise ConfigError(f"{key}.{name}".lstrip(".") + ": it is missing; leave its default in the config")
    others = [str(name) for name in values if name not in section]
    if key and wanted.complete and others:  # at the top users may have values of their own, to refer to
        hint = did_you_mean(others[0], section)
        raise ConfigError(f"{key}.{others[0]}: no such key; {hint or f'{key} has ' + ', '.join(section)}")


def _check_entry(key: str, entry: Any, value: Any, wanted: _Wanted) -> None:
    if isinstance(entry, Named):
        if value is None:
            return  # the commands that need one say so
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key}={_shown(value)}: expected {entry.words}")
        for name, one in value.items():
            _check_entry(f"{key}.{name}", entry.component, one, wanted)
    elif isinstance(entry, Component):
        _check_component(key, entry, value, wanted)
    elif isinstance(entry, dict):
        _check_section(key, entry, value, wanted)
    elif not fits(value, entry):
        raise ConfigError(_narrowed_refusal(key, value, entry))


def _check_component(key: str, component: Component, value: Any, wanted: _Wanted) -> None:
    if (value is None and component.optional) or (component.networks and not wanted.networks):
        return
    if not isinstance(value, Mapping) or "_target_" not in value:
        group = key.rpartition(".")[2]
        if value is None:
            raise ConfigError(f"{key}=null: expected the settings of a config group; choose one of it, {group}=NAME")
        choice = f"{group}={_shown(value)}" if group == key else f"{group}@{key}={_shown(value)}"
        raise ConfigError(
            f"{key}={_shown(value)}: expected the settings of a config group, with _target_; to choose from it, "
            f"write {choice}"
        )
    for name, annotation in HYDRAS.items():
        if name in value and not fits(value[name], annotation):
            raise ConfigError(refusal(f"{key}.{name}", value[name], annotation))
    if bool(value.get("_partial_")) != component.partial and component.kind:
        raise ConfigError(f"{key}._partial_={value.get('_partial_')}: expected {str(component.partial).lower()} here")
    for name in component.needed:
        if name not in value:
            raise ConfigError(f"{key}.{name}: it is missing; leave its default in the config")
    target = value["_target_"]
    signature = _signature(key, target, value)
    _check_kind(key, target, component, signature)
    for name, one in value.items():
        if name in HYDRAS:
            continue
        place = f"{key}.{name}"
        if name in component.program:
            raise ConfigError(f"{place}: the program knows it, and it cannot be set here; leave it out")
        if name in component.experiment:
            _check_entry(place, component.experiment[name], one, wanted)
        elif name in signature.arguments:
            _check_argument(place, signature.arguments[name], one, wanted)
        elif not signature.open:
            takes = [name for name in (*signature.arguments, *component.experiment) if name not in component.program]
            hint = did_you_mean(str(name), takes) or f"it takes {', '.join(takes) or 'nothing'}"
            raise ConfigError(f"{place}: {target} has no such setting; {hint}")


def _signature(key: str, target: str, value: Mapping[Any, Any]) -> Signature:
    try:
        return signature_of(target, frozenset(str(name) for name in value if name not in HYDRAS))
    except ImportError as error:
        raise ConfigError(f"{key}._target_={target}: {str(error).splitlines()[0]}") from None


def _check_kind(key: str, target: str, component: Component, signature: Signature) -> None:
    """Refuse a class of another kind; what functions return shows when they are called."""
    if not isinstance(signature.target, type) or not component.kind:
        return
    kind = signature_of(component.kind, frozenset()).target
    if isinstance(kind, type) and not issubclass(signature.target, kind):
        raise ConfigError(f"{key}._target_={target}: expected a subclass of {component.kind}")


def _check_argument(key: str, annotation: Any, value: Any, wanted: _Wanted) -> None:
    """An argument of a class: a plain value, or a component, or several of them."""
    if not fits(value, annotation):
        raise ConfigError(_narrowed_refusal(key, value, annotation))
    for place, kind, one in _components_in(key, annotation, value):
        _check_component(place, Component(kind), one, wanted)


def _components_in(key: str, annotation: Any, value: Any) -> Iterator[tuple[str, str, Mapping[Any, Any]]]:
    """Components below a value, with their places and the names of their kinds, as far as annotations say."""
    if isinstance(value, Mapping) and "_target_" in value:
        ours = [
            kind.noun for kind in kinds(annotation) if getattr(kind.noun, "__module__", "").startswith("parity_exp")
        ]
        yield key, f"{ours[0].__module__}.{ours[0].__qualname__}" if len(ours) == 1 else "", value
        return
    inner = _inner(annotation)
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _components_in(f"{key}.{name}", inner, one)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _components_in(f"{key}.{place}", inner, one)


def _inner(annotation: Any) -> Any:
    """What the values of a list or mapping are."""
    for kind in kinds(annotation):
        if get_origin(kind.noun) is not None and get_args(kind.noun):
            return get_args(kind.noun)[-1]
    return Any


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)[:LONGEST]
