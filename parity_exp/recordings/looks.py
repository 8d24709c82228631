"""How policies appear: they say it themselves, and a run directory keeps what they have said.

``policies.json`` holds the look of each policy of the run by name, so that nobody who draws a run has to import, or to
know, the classes of whoever made it. Runs of earlier versions lack this package's own policies there; those are known
by their names.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from parity_exp import policies
from parity_exp.files.writing import write_json
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Policy
from parity_exp.recordings import names
from parity_exp.recordings.descriptions import first_line

CLASSES: tuple[type[Policy], ...] = tuple(getattr(policies, name) for name in policies.IN_ORDER)

KNOWN: Mapping[str, Look] = {look.name: look for one in CLASSES for look in one.looks}
"""The looks of this package's policies by name, in the order in which a newcomer should meet them."""

Looks = Mapping[str, Look]
"""What the policies of some runs have said, by name."""


def declared_look(name: str, policy: type[Policy]) -> Look:
    """What a policy's class says of itself under a name; its idea is else the first line of its docstring."""
    look = policy.look(name) or Look(name)
    return look if look.idea or policy in CLASSES else replace(look, idea=first_line(policy))


def look_of(name: str, declared: Looks | None = None) -> Look:
    """How a policy appears: as it has declared, or else as this package's policy of the name."""
    return (declared or {}).get(name) or KNOWN.get(name) or Look(name)


def baseline_among(policies: Iterable[str], declared: Looks | None = None) -> str | None:
    """The first policy that others are measured against; None where none is one."""
    return next((name for name in policies if look_of(name, declared).is_baseline), None)


def write_looks(folder: Path, made: Mapping[str, Policy]) -> None:
    """Keep what policies say of themselves.

    Args:
        folder: the run directory.
        made: the policies by name.
    """
    looks = {name: asdict(declared_look(name, type(policy))) for name, policy in made.items()}
    write_json(folder / names.POLICIES, looks)


def read_looks(folder: Path) -> dict[str, Look]:
    """What :func:`write_looks` has kept; nothing where that is missing or damaged, as colours are no reason to fail."""
    try:
        content = json.loads((folder / names.POLICIES).read_bytes())
        return {str(name): _look(values) for name, values in content.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _look(values: object) -> Look:
    kinds = {field.name: bool if isinstance(field.default, bool) else str for field in fields(Look)}
    given = dict(values)  # type: ignore[call-overload]
    return Look(**{name: given[name] for name, kind in kinds.items() if isinstance(given.get(name), kind)})
