"""A narrow network of an architecture that costs a given share of what another one costs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from parity_exp.models.operations import operations

STEPS = 14
"""Halvings of the interval in which the factor is looked for."""


def narrowed(
    make: Callable[..., nn.Module], settings: Mapping[str, Any], shape: Sequence[int], most: float
) -> dict[str, Any]:
    """Settings of an architecture with all its widths multiplied by one factor of at most 1, to cost so much at most.

    The factor is the largest that keeps the limit, found by halving an interval: operations grow with it. Whole
    widths are rounded to the nearest number, at least 1.

    Args:
        make: makes the network from settings by name.
        settings: the widths as they are, by name: a number or a sequence of numbers each; whole ones stay whole.
        shape: of one query.
        most: floating-point operations for one query, as :func:`~parity_exp.models.operations.operations` counts them.

    Raises:
        ValueError: even the narrowest network costs more.
    """

    def cost(factor: float) -> float:
        return operations(make(**_scaled(settings, factor)), shape)

    if cost(1.0) <= most:
        return dict(settings)
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= most else (low, middle)
    if not low:
        least = cost(high)
        raise ValueError(f"its narrowest network takes {least:,.0f} operations a query, more than {most:,.0f}")
    return _scaled(settings, low)


def _scaled(settings: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {name: _times(width, factor) for name, width in settings.items()}


def _times(width: Any, factor: float) -> Any:
    if isinstance(width, int):
        return max(1, round(width * factor))
    if isinstance(width, float):
        return width * factor
    return [_times(one, factor) for one in width]
