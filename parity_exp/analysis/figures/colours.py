"""A colour for each policy and each encoder, whatever others there are and in whatever order.

It is the one that it declares itself, or else follows from its name alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from matplotlib.colors import hsv_to_rgb, is_color_like, to_hex, to_rgb

from parity_exp.recordings.looks import KNOWN, Looks, look_of

APART = 0.25
"""Colours that follow from names are at least so far from those that are declared (RGB, each from 0 to 1)."""

TRIES = 200


@dataclass(frozen=True)
class Palette:
    """The colours of what runs have in common.

    Attributes:
        looks: what policies say of themselves, by name.
        declared: colours that encoders declare, by name.
    """

    looks: Looks = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)

    def policies(self, names: Iterable[str]) -> dict[str, str]:
        """A colour for each policy."""
        return policy_colours(names, self.looks)

    def encoders(self, names: Iterable[str]) -> dict[str, str]:
        """A colour for each encoder, by name."""
        taken = list(self.declared.values())
        return {name: _colour(name, self.declared.get(name), taken) for name in sorted(set(names), key=str)}


PLAIN = Palette()
"""Nothing is known but names."""


def policy_colours(names: Iterable[str], looks: Looks | None = None) -> dict[str, str]:
    """A colour for each policy, in the order of their names.

    Args:
        names: of policies.
        looks: what they have declared, by name.
    """
    taken = [look.colour for look in KNOWN.values() if look.colour is not None]
    return {name: _colour(name, look_of(name, looks).colour, taken) for name in names}


def _colour(name: str, declared: str | None, taken: Collection[str]) -> str:
    if declared is not None and is_color_like(declared):
        return declared
    others = np.array([to_rgb(colour) for colour in taken]).reshape(-1, 3)
    for number in range(TRIES):
        digest = sha256(f"{name} {number}".encode(errors="backslashreplace")).digest()
        hue, saturation, value = (int.from_bytes(digest[2 * i : 2 * i + 2]) / 65536 for i in range(3))
        colour = hsv_to_rgb((hue, 0.55 + 0.45 * saturation, 0.45 + 0.4 * value))
        if np.linalg.norm(others - colour, axis=1).min(initial=APART) >= APART:
            break
    return str(to_hex(tuple(colour.tolist())))
