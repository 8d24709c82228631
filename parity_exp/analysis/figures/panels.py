"""Panels of pictures that compare runs: each holds what is comparable, and says what that is."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from parity_exp.analysis.figures.axes import clean
from parity_exp.analysis.tables.comparison import EQUALS

GREY = "#777777"

UNANSWERED = (0, (1, 1))

TITLE_WIDTH, TITLE_LINES = 40, 4  # characters and lines of a panel's title

PANELS, COLUMNS = 6, 3


@dataclass(frozen=True)
class Plate:
    """A picture, and how many panels of its kind are not in it."""

    figure: Figure
    left_out: int = 0


def panels(
    table: pd.DataFrame, keys: Sequence[str], supports: Callable[[pd.DataFrame], bool]
) -> tuple[list[tuple[str, pd.DataFrame]], int]:
    """Parts of a table that a picture can show, those with most rows, with a title of what tells them apart.

    Returns:
        the parts, at most ``PANELS``, and how many more there are.
    """
    if table.empty:
        return [], 0
    parts = [part for _, part in table.groupby(list(keys), dropna=False) if supports(part)]
    largest = sorted(range(len(parts)), key=lambda at: -len(parts[at]))[:PANELS]
    varying = [key for key in keys if table[key].nunique(dropna=False) > 1] or [keys[0]]
    return [(_title(parts[at], varying), parts[at]) for at in sorted(largest)], max(0, len(parts) - PANELS)


def _title(part: pd.DataFrame, keys: Sequence[str]) -> str:
    """What the keys are in a part, in lines that a panel has room for."""
    row = part.iloc[0]
    words = []
    for key in keys:
        if row[key] not in ("", "-"):
            equals = {"k": f"k{EQUALS}", "r": f"r{EQUALS}", "load": "load "}.get(key, "")
            words.append(f"{equals}{row[key]}")
    # Of a key's place the last two words, which tell one from another and leave room for all that differs.
    title = re.sub(r"[\w.]+\.(\w+\.\w+=)", r"\1", ", ".join(words))
    return "\n".join(wrap(title, TITLE_WIDTH, max_lines=TITLE_LINES, placeholder=" ..."))


def grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, and their axes."""
    columns = 2 if count == 4 else min(count, COLUMNS)
    rows = -(-count // columns)
    width = 6.0 if columns == 1 else 9.0
    figure = Figure(
        figsize=(width, 3.3 * rows + 0.7 if columns > 1 else 4.4), layout=ConstrainedLayoutEngine(h_pad=0.09)
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.tick_params(which="both", labelsize=8)
        axis.xaxis.label.set_fontsize(9)
        axis.yaxis.label.set_fontsize(9)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def left_labels(axes: Sequence[Axes], label: str) -> None:
    """The same label for the first panel of each row."""
    for axis in axes:
        place = axis.get_subplotspec()
        if place is not None and place.is_first_col():
            axis.set_ylabel(label)


def dots(axis: Axes, x: pd.Series, y: pd.Series, colour: str, size: float = 16) -> None:
    """Dots that let others shine through, the more of them there are."""
    alpha = float(np.clip(25 / max(len(x), 1), 0.2, 0.85))
    axis.scatter(x.astype(float), y.astype(float), s=size, color=colour, alpha=alpha, lw=0, zorder=3)


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One legend for all panels, below them."""
    per_row = 5 if figure.get_figwidth() > 7 else 3
    figure.legend(handles=list(handles), frameon=False, ncols=per_row, loc="outside lower center", fontsize=8.5)


def milliseconds(axis: Axes, which: str = "y") -> None:
    """Plain numbers at 1, 2 and 5 times powers of ten on a logarithmic axis."""
    scale = axis.yaxis if which == "y" else axis.xaxis
    scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = scale.get_view_interval()
    few = high / low < 4
    scale.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}") if few else NullFormatter())


def finish(axis: Axes) -> None:
    """A title that its panel has room for, on axes like those of all pictures."""
    axis.title.set_fontsize(9)
    clean(axis)
