"""What axes of all pictures of serving have in common."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

ALARM = "#b2182b"

QueriesByPolicy = Mapping[str, pd.DataFrame]


def milliseconds(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, written as plain numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def slo_line(axis: Axes, slo_ms: float | None, side: Literal["top", "bottom"]) -> None:
    """A line at the deadline, where that is within the axis, with its name at the top or the bottom."""
    if slo_ms is None:
        return
    low, high = axis.get_xlim()
    if not low <= slo_ms <= high:
        return
    axis.axvline(slo_ms, color=ALARM, lw=0.9, ls="-.")
    height, shift = (1, -4) if side == "top" else (0, 4)
    text = axis.annotate(
        f"deadline {ms(slo_ms)}", (slo_ms, height), (-3, shift), ("data", "axes fraction"), "offset points"
    )
    text.set(rotation=90, ha="right", va=side, fontsize=8, color=ALARM)


def ms(value_ms: float) -> str:
    """A time as people read it."""
    return f"{value_ms:.3g} ms" if value_ms < 1000 else f"{value_ms:,.0f} ms"


def clean(axis: Axes) -> None:
    """No frame but the two axes, and a light grid behind."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
