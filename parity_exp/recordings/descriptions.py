"""What a run was made of, as its run directory tells it: components with their settings, and what these say they are.

A component stands in ``config.yaml`` as a node that names its class. ``components.json`` holds what the classes said of
themselves when the run was made, so that whoever reads it need not import them; runs of earlier versions have none.
"""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import parity_exp
from parity_exp.files.writing import write_json
from parity_exp.recordings import names

CLASS = "_target_"
"""The key of a config's node that names the class of a component."""

SETTING = "setting."
"""Before the name of a setting that a class has words for, as figures have them at an axis."""

OURS = ("parity_exp.", "torch.", "pytorch_lightning.")
"""Packages whose classes need no more than their own names."""


def is_component(node: object) -> bool:
    """Whether a config's node is a component, and not a section of values or of several components."""
    return isinstance(node, Mapping) and CLASS in node


def class_of(node: Mapping[str, Any]) -> str:
    """The class of a component, by its name in its module."""
    return str(node[CLASS]).rpartition(".")[2]


def full_class_of(node: Mapping[str, Any]) -> str:
    """The class of a component: one of this package by its name alone, one of somebody else by all of it."""
    target = str(node[CLASS])
    return class_of(node) if target.startswith(OURS) else target


def settings_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a component, without what is meant for whoever makes it."""
    return {str(key): value for key, value in node.items() if str(key)[:1] != "_"}


def components_in(node: object, place: str = "") -> Iterator[tuple[str, str]]:
    """The place of every component in a config, and its class with the module: ``encoder``, ``mine.MyEncoder``."""
    if isinstance(node, Mapping):
        if is_component(node):
            yield place, str(node[CLASS])
        for name, value in node.items():
            yield from components_in(value, f"{place}.{name}".lstrip("."))


def first_line(made: object) -> str:
    """The first line of a class's own docstring, not of one that it inherits, as plain text; empty without."""
    own = vars(made).get("__doc__") if isinstance(made, type) else getattr(made, "__doc__", None)
    return inspect.cleandoc(own).partition("\n")[0].replace("``", "").strip() if isinstance(own, str) else ""


def description(made: Any) -> dict[str, str]:
    """What a class says of itself, as far as it does: what it is, its colour in figures, words for its settings."""
    said = {"is": first_line(made), "colour": getattr(made, "colour", None)}
    said |= {f"{SETTING}{name}": words for name, words in dict(getattr(made, "settings_in_words", {})).items()}
    return {key: value for key, value in said.items() if isinstance(value, str) and value}


def description_of_a_coder(node: object) -> dict[str, str]:
    """What this package's own encoders, decoders and codes say of themselves, for runs that have not kept it.

    Args:
        node: of the config. Of somebody else's class, which nobody imports for a report, nothing is known.
    """
    if not isinstance(node, Mapping) or not str(node.get(CLASS)).startswith("parity_exp.coding."):
        return {}
    return _descriptions_of_coders().get(class_of(node), {})


@cache
def _descriptions_of_coders() -> dict[str, dict[str, str]]:
    """What the classes of ``parity_exp.coding`` say of themselves; read, since importing them takes seconds."""
    found = {}
    for path in (Path(parity_exp.__file__).parent / "coding").glob("*.py"):
        for made in ast.parse(path.read_text()).body:
            if isinstance(made, ast.ClassDef):
                words = (ast.get_docstring(made) or "").partition("\n")[0].replace("``", "").strip()
                colours = [
                    line.value.value
                    for line in made.body
                    if isinstance(line, ast.Assign)
                    and isinstance(line.value, ast.Constant)
                    and ast.unparse(line.targets[0]) == "colour"
                ]
                said = {"is": words, "colour": colours[0] if colours else None}
                found[made.name] = {key: value for key, value in said.items() if isinstance(value, str) and value}
    return found


def write_descriptions(folder: Path, classes: Mapping[str, Any]) -> None:
    """Keep what classes say of themselves.

    Args:
        folder: the run directory.
        classes: each component's, by its place in the config, such as ``encoder`` and ``redundancy.mine``.
    """
    said = {place: description(made) for place, made in classes.items()}
    write_json(folder / names.COMPONENTS, {place: words for place, words in said.items() if words})


def read_descriptions(folder: Path) -> dict[str, dict[str, str]]:
    """What :func:`write_descriptions` has kept; nothing where that is missing or damaged."""
    try:
        content = json.loads((folder / names.COMPONENTS).read_bytes())
        return {
            str(place): {str(key): value for key, value in words.items() if isinstance(value, str)}
            for place, words in content.items()
        }
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
