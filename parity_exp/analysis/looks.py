"""How policies appear: they say it themselves, and a run directory keeps what policies of users have said.

``policies.json`` holds the look of each policy by name that is not this package's own, so that nobody who draws a run
has to import, or to know, the classes of whoever made it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb, is_color_like, to_hex, to_rgb

from parity_exp import policies
from parity_exp.files.writing import write_json
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Policy

FILE = "policies.json"

LOOKS = "looks"
"""The attribute of a table of many runs that holds the colours that their policies have declared."""

CLASSES: tuple[type[Policy], ...] = tuple(getattr(policies, name) for name in policies.IN_ORDER)

KNOWN: Mapping[str, Look] = {look.name: look for one in CLASSES for look in one.looks}
"""The looks of this package's policies by name, in the order in which a newcomer should meet them."""

APART = 0.25
"""Colours that follow from names are at least so far from those of this package's policies (RGB, each from 0 to 1)."""

TRIES = 200


def policy_colours(names: Iterable[str], declared: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """A colour for each policy, whatever others there are and in whatever order.

    It is the one that this package's policy of the name has, or that the policy has declared, or else follows from the
    name.

    Args:
        names: of policies.
        declared: colours that policies of users have declared, by name.
    """
    return {name: _colour(name, (declared or {}).get(name)) for name in names}


def _colour(name: str, declared: str | None) -> str:
    own = KNOWN[name].colour if name in KNOWN else declared
    if own is not None and is_color_like(own):
        return own
    taken = np.array([to_rgb(known.colour) for known in KNOWN.values() if known.colour is not None])
    for number in range(TRIES):
        digest = sha256(f"{name} {number}".encode(errors="backslashreplace")).digest()
        hue, saturation, value = (int.from_bytes(digest[2 * i : 2 * i + 2]) / 65536 for i in range(3))
        colour = hsv_to_rgb((hue, 0.55 + 0.45 * saturation, 0.45 + 0.4 * value))
        if np.linalg.norm(taken - colour, axis=1).min() >= APART:
            break
    return str(to_hex(tuple(colour.tolist())))


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
    known = {field.name for field in fields(Look)}
    texts = {key: value for key, value in dict(values).items() if key in known and isinstance(value, str)}  # type: ignore[call-overload]
    return Look(**texts)
