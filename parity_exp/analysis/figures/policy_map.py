"""The map: where nothing, hedging, copies or parity pays, by load and by how strong stragglers are."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from parity_exp.analysis.figures.colours import Palette
from parity_exp.analysis.figures.panels import Plate
from parity_exp.analysis.runs.differences import is_seed
from parity_exp.analysis.runs.tidy import LOAD, Tidy
from parity_exp.analysis.tables.policy_map import PERCENTILES
from parity_exp.recordings.looks import KNOWN, look_of

MOST_COLUMNS, MOST_ROWS, MOST_LOADS = 6, 12, 12
LUMINANCE, DARK = (0.3, 0.59, 0.11), 0.6
IN_A_FIELD = "in a field: latency against no redundancy; below it tasks a query, and the share of reconstructed answers"
FEWEST = 2
"""Loads and strengths that a map has at least."""


def policy_map(tidy: Tidy, points: pd.DataFrame, palette: Palette) -> Plate | None:
    """A panel for each cluster, at p99 above and at p99.9 below; in it a field for each load and strength.

    A field has the colour of the policy to take there, and says how much lower its latency is than the baseline's.

    Args:
        tidy: the runs.
        points: see :func:`parity_exp.analysis.tables.policy_map.map_points`.
        palette: colours of policies.
    """
    if points.empty:
        return None
    facts = tidy.serving.drop_duplicates("run").set_index("run")
    rows_by = _rows_by(tidy, facts)
    if rows_by is None:
        return None
    points = points.assign(
        row=points["run"].map(facts[rows_by]), panel=points["run"].map(_clusters(tidy, facts, rows_by))
    )
    loads = sorted(points["load"].unique(), key=lambda text: float(text.split()[0].replace(",", "")))[:MOST_LOADS]
    rows = sorted(points["row"].unique())[:MOST_ROWS]
    panels = list(points["panel"].unique())
    if len(loads) < FEWEST or len(rows) < FEWEST:
        return None
    shown = panels[:MOST_COLUMNS]
    present = set(points["policy"])
    colours = palette.policies([*(name for name in KNOWN if name in present), *sorted(present - set(KNOWN))])
    size = (1.2 + max(2.2, 0.7 * len(loads)) * len(shown), 1.5 + 0.24 * len(colours) + 2 * (0.4 + 0.5 * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(PERCENTILES), len(shown), squeeze=False, sharex=True, sharey=True)
    for percentile, line in zip(PERCENTILES, axes, strict=True):
        for panel, axis in zip(shown, line, strict=True):
            some = points[(points["panel"] == panel) & (points["percentile"] == percentile)]
            _fields(axis, some, loads, rows, colours)
            axis.set_title(f"{panel}: p{percentile:g}".lstrip(": "), fontsize=8.5)
    for axis in axes[-1]:
        axis.set_xlabel("load, of what base instances can serve" if "%" in loads[0] else "load", fontsize=8)
    words = fill(tidy.words_of(rows_by), 10 * len(rows), break_long_words=False)
    for axis in axes[:, 0]:
        axis.set_ylabel(words, fontsize=8)
    width = round(13 * size[0])
    handles = [Patch(color=colours[name], label=fill(_label(name, palette), width)) for name in colours]
    figure.legend(handles=handles, frameon=False, loc="outside lower center", fontsize=8, title=fill(IN_A_FIELD, width),
                  title_fontsize=8)  # fmt: skip
    return Plate(figure, len(panels) - len(shown))


def _fields(
    axis: Axes, points: pd.DataFrame, loads: Sequence[str], rows: Sequence[float], colours: dict[str, str]
) -> None:
    for (load, row), place in points.groupby(["load", "row"]):
        if load not in loads or row not in rows:
            continue
        x, y = loads.index(load), rows.index(row)
        policy = str(place["policy"].mode().iloc[0])
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colours[policy], edgecolor="white", lw=1))
        over, tasks, rebuilt = (
            float(place[key].mean()) for key in ("over_baseline", "tasks_per_query", "reconstructed")
        )
        colour = "white" if float(np.dot(to_rgb(colours[policy]), LUMINANCE)) < DARK else "black"
        if over == over:
            words = "0" if abs(over - 1) < 0.005 else f"{100 * (over - 1):+.0f} %".replace("-", "\N{MINUS SIGN}")
            axis.text(x, y + 0.13, words, ha="center", va="center", fontsize=8, color=colour)
        costs = f"{tasks:.2g}" + (f", {rebuilt:.0%}" if rebuilt >= 0.005 else "")
        axis.text(x, y - 0.25, costs, ha="center", va="center", fontsize=6, color=colour)
    axis.set(xlim=(-0.5, len(loads) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    axis.set_xticks(range(len(loads)), [load.replace(" ", "\N{NO-BREAK SPACE}") for load in loads], fontsize=7)
    axis.set_yticks(
        range(len(rows)), [f"{row:g}" if isinstance(row, int | float) else str(row) for row in rows], fontsize=8
    )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _rows_by(tidy: Tidy, facts: pd.DataFrame) -> str | None:
    """The number of the stragglers that takes most values."""
    numbers = {
        key: facts[key].nunique()
        for key in tidy.differing
        if key.startswith("straggler.") and key in facts and pd.api.types.is_numeric_dtype(facts[key])
    }
    return max(numbers, key=lambda key: numbers[key]) if numbers else None


def _clusters(tidy: Tidy, facts: pd.DataFrame, rows_by: str) -> pd.Series:
    """For each run what its panel is called: its machines, and what else differs."""
    told = ("k", "pool.instances", rows_by, *LOAD, *tidy.differing.get(rows_by, ()))
    words = pd.Series("", index=facts.index)
    if facts["base_instances"].nunique() > 1 or facts["k"].nunique() > 1:
        extra = (facts["instances"] - facts["base_instances"]).astype(int)
        words += facts["base_instances"].astype(int).astype(str) + " + " + extra.astype(str) + " machines"
        words += ", k = " + facts["k"].astype(str)
    for key in tidy.differing:
        if key in facts and key not in told and not is_seed(key) and not key.startswith("redundancy"):
            words += ", " + key.rpartition(".")[2].replace("_", " ") + " " + facts[key].astype(str)
    return words.str.removeprefix(", ")


def _label(name: str, palette: Palette) -> str:
    idea = look_of(name, palette.looks).idea
    return f"{name}: {idea[0].lower()}{idea[1:].rstrip('.')}" if idea else name
