"""What an object is called in a config: the class and the arguments from which a command makes it again."""

import inspect
import pydoc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

PROGRAM = {"k", "r", "query_shape", "output_shape", "input_shape", "outputs", "generator", "encoder", "decoder"}
"""Arguments that the program gives and no config holds."""


class UndescribableError(ValueError):
    """An object that no config can describe; says which, and what to give instead."""


def described(value: Any, place: str) -> Any:
    """A value as configs hold it.

    Plain values stay; a class, or a partial of one, becomes the settings that make its objects; of an object the
    arguments are looked for in attributes of their names.

    Args:
        value: a plain value, a class, a partial, or an object.
        place: what it is called, for messages.

    Raises:
        UndescribableError: it cannot be made again from a config.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): described(one, f"{place}.{name}") for name, one in value.items()}
    if isinstance(value, Sequence):
        return [described(one, place) for one in value]
    if isinstance(value, partial):
        if value.args:
            raise UndescribableError(f"{place}: give the arguments of the partial by their names")
        return {"_target_": target_of(value.func, place), **described(dict(value.keywords), place)}
    if isinstance(value, type) or inspect.isfunction(value):
        return {"_target_": target_of(value, place)}
    return {"_target_": target_of(type(value), place), **_arguments(value, place)}


def target_of(made: Any, place: str) -> str:
    """The name by which a class or a function can be imported.

    Raises:
        UndescribableError: there is none, as in a notebook or within a function.
    """
    name = getattr(made, "__qualname__", type(made).__qualname__)
    module = str(getattr(made, "__module__", ""))
    parts = module.split(".")
    # By the shortest name: modules deep inside a package are that package's own business.
    for depth in range(1, len(parts) + 1):
        package = ".".join(parts[:depth])
        if module != "__main__" and pydoc.locate(f"{package}.{name}") is made:
            return f"{package}.{name}"
    raise UndescribableError(
        f"{place}: commands cannot import {name}; write it into a file of its own and import it from there, or leave "
        "folder out"
    )


def _arguments(value: Any, place: str) -> dict[str, Any]:
    arguments = {}
    for name in _parameters(type(value)):
        if name in PROGRAM:
            continue
        if not hasattr(value, name):
            kind = type(value).__name__
            raise UndescribableError(
                f"{place}: an object of {kind} does not say what its {name} was; give functools.partial({kind}, "
                f"{name}=...) in its place, or leave folder out"
            )
        arguments[name] = described(getattr(value, name), f"{place}.{name}")
    return arguments


def _parameters(kind: type) -> list[str]:
    """Names of what a class's constructor takes, and of what it hands on to those of its base classes."""
    names: list[str] = []
    for base in kind.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names += [one.name for one in parameters if one.kind not in several and one.name not in names]
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
    return names
