"""How policies appear: they say it themselves, and a run directory keeps what policies of users have said.

``policies.json`` holds the look of each policy by name that is not this package's own, so that nobody who draws a run
has to import, or to know, the classes of whoever made it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from parity_exp import policies
from parity_exp.files.writing import write_json
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Policy

FILE = "policies.json"

CLASSES: tuple[type[Policy], ...] = tuple(getattr(policies, name) for name in policies.IN_ORDER)

KNOWN: Mapping[str, Look] = {look.name: look for one in CLASSES for look in one.looks}
"""The looks of this package's policies by name, in the order in which a newcomer should meet them."""


def write_looks(folder: Path, made: Mapping[str, Policy]) -> None:
    """Keep what policies of users say of themselves; no file where none does.

    Args:
        folder: the run directory.
        made: the policies by name.
    """
    looks = {name: look for name, policy in made.items() if name not in KNOWN and (look := policy.look(name))}
    if looks:
        write_json(folder / FILE, {name: asdict(look) for name, look in looks.items()})


def read_looks(folder: Path) -> dict[str, Look]:
    """What :func:`write_looks` has kept; nothing where that is missing or damaged, as colours are no reason to fail."""
    try:
        content = json.loads((folder / FILE).read_bytes())
        return {str(name): _look(values) for name, values in content.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _look(values: object) -> Look:
    kinds = {field.name: bool if isinstance(field.default, bool) else str for field in fields(Look)}
    given = dict(values)  # type: ignore[call-overload]
    return Look(**{name: given[name] for name, kind in kinds.items() if isinstance(given.get(name), kind)})
