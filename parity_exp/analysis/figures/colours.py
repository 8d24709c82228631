"""A colour for each policy, whatever others there are and in whatever order."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import numpy as np
from matplotlib.colors import hsv_to_rgb, is_color_like, to_hex, to_rgb

from parity_exp.recordings.looks import KNOWN

LOOKS = "looks"
"""The attribute of a table of many runs that holds the colours that their policies have declared."""

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
