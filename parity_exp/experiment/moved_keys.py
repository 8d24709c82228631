"""Settings of the experiment that stood among a component's arguments in the last release, and where they are now.

A key below ``_target_`` is an argument of that class and nothing else. For one release the old places work as well: on
the command line, in people's own config files, and in configs of earlier runs. To be taken away with the next one.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from parity_exp.experiment.command_line import parsed
from parity_exp.experiment.schema import find
from parity_exp.files.moved_keys import NOW

FOREIGN = ("pytorch_lightning.", "lightning.", "lightning_fabric.")
"""Modules whose classes have arguments of such names, which they never got."""


SAID: set[str] = set()
"""Lines that this process has said."""


def place_now(place: str) -> str:
    """Where a value is that somebody has given at a place, be it an old one."""
    return NOW.get(place) or place


def as_hydra_takes(word: str) -> str:
    """A word of the command line that also sets a key which is in the config no more; others as they are."""
    if word[:1] in "+~-" or not word.startswith(tuple(NOW)):
        return word
    override = parsed(word)
    return f"++{word}" if override is not None and override.key_or_group in NOW else word


def move(config: DictConfig) -> list[str]:
    """Put what stands in old places of a composed config into the new ones; what a class takes is that class's.

    Returns:
        A line for each, with both places.
    """
    lines, gone = [], {}
    for old, new in NOW.items():
        section, _, key = old.rpartition(".")
        node = OmegaConf.select(config, section)
        if isinstance(node, DictConfig) and key in node and not _takes(str(node.get("_target_")), key):
            _put(config, node, key, new)
            lines.append(
                f"{old} is now {new}; the old place works in this release alone"
                if new
                else f"{old} changes nothing, and the next release will refuse it"
            )
        if new is not None and not (isinstance(node, DictConfig) and key in node):
            gone[old] = new
    _refer(config, gone)
    return lines


def move_stored(config: DictConfig) -> DictConfig:
    """The config of an earlier run with everything in its new place; one that has all new places is as it was.

    Classes that take an argument of such a name keep it: in the last release both had it.
    """
    config = config.copy()
    for old, new in NOW.items():
        section, _, key = old.rpartition(".")
        node = OmegaConf.select(config, section)
        if not isinstance(node, DictConfig) or key not in node:
            continue
        taken = _takes(str(node.get("_target_")), key)
        if taken and new is not None and OmegaConf.select(config, new) is None and not _is_new(config):
            OmegaConf.update(config, new, node[key], force_add=True)
        elif not taken:
            _put(config, node, key, new)
    return config


def move_sweep(config: DictConfig) -> None:
    """Let a multirun go through keys of ``sweep`` that are in the config no more."""
    sweep = config.get("sweep")
    if isinstance(sweep, DictConfig) and NOW.keys() & {str(key) for key in sweep}:
        with read_write(config), open_dict(config):
            config.sweep = {f"++{key}" if key in NOW else key: value for key, value in sweep.items()}


def say(lines: list[str]) -> None:
    """Say what has another place by now, on the standard error, once however many jobs there are."""
    for line in lines:
        if line not in SAID:
            print(line, file=sys.stderr)
    SAID.update(lines)


def _is_new(config: DictConfig) -> bool:
    return "trainable" in config or "acceleration" in config


def _put(config: DictConfig, node: DictConfig, key: str, new: str | None) -> None:
    with read_write(config), open_dict(config), read_write(node), open_dict(node):
        raw: Any = node._get_node(key)
        value = raw._value()
        del node[key]
        if new is not None:
            OmegaConf.update(config, new, value, force_add=True)


def _takes(target: str, key: str) -> bool:
    """Whether a class takes an argument of a name, by itself or by whatever it hands on to."""
    try:
        found = find(target)
    except ImportError:
        return False  # making it tells why
    owners = found.__mro__ if isinstance(found, type) else [found]
    for owner in owners:
        if f"{getattr(owner, '__module__', '')}.".startswith(FOREIGN):
            return False
        call = vars(owner).get("__init__") if isinstance(owner, type) else owner
        if call is None or owner is object:
            continue
        with suppress(TypeError, ValueError):
            arguments = inspect.signature(call).parameters
            if key in arguments:
                return True
            if not any(one.kind is one.VAR_KEYWORD for one in arguments.values()):
                return False
    return True


def _refer(config: DictConfig, gone: Mapping[str, str]) -> None:
    """Let interpolations of people's own files that name an old place find the new one."""
    for node, key, text in list(_texts(config)):
        now = text
        for old, new in gone.items():
            if old in now:
                now = re.sub(rf"(\$\{{(?:[^{{}}]*[:,])?){re.escape(old)}(?=[,}}])", rf"\g<1>{new}", now)
        if now != text:
            with read_write(node), open_dict(node):
                node[key] = now


def _texts(node: DictConfig) -> Iterator[tuple[DictConfig, Any, str]]:
    """Every interpolation in a config, with where it stands; lists aside."""
    for key in list(node):
        if str(key) == "hydra":
            continue
        inner: Any = node._get_node(key)
        if isinstance(inner, DictConfig) and not (inner._is_interpolation() or inner._is_none() or inner._is_missing()):
            yield from _texts(inner)
        elif inner is not None and inner._is_interpolation():
            yield node, key, str(inner._value())
