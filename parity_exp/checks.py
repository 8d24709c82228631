"""Checks of settings that a user types: each returns the value, or refuses it in one line that names its key."""

import math
from collections.abc import Mapping
from typing import Any

from parity_exp.errors import ConfigError


def number(
    key: str, value: Any, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """A finite number within bounds.

    Args:
        key: the config key, for the message.
        value: what stands there.
        above: the number is greater than this.
        least: the number is this or more.
        most: the number is this or less.

    Raises:
        ConfigError: it is not.
    """
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (above is None or value > above) and (least is None or value >= least)
    fits = fits and (most is None or value <= most)
    if not fits:
        bounds = [("above", above), ("at least", least), ("at most", most)]
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        raise ConfigError(f"{key}={_typed(value)}: expected a number {wanted}".rstrip())
    return float(value)


def whole(key: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number, ``least`` or more, and ``most`` at most.

    Raises:
        ConfigError: it is not.
    """
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not fits or (most is not None and value > most):
        wanted = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise ConfigError(f"{key}={_typed(value)}: expected a whole number, {wanted}")
    return int(value)


def at_most_one(values: Mapping[str, Any]) -> None:
    """Of several settings, by their keys, only one can be given; the others are None.

    Raises:
        ConfigError: more than one is given.
    """
    given = [key for key, value in values.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: give one of them and leave the other null")


def _typed(value: Any) -> str:
    return "null" if value is None else str(value)
