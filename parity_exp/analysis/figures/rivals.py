"""A picture of codes beside their rivals, a row each: how good late answers are, how late, and at what cost."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from parity_exp.analysis.figures.axes import milliseconds
from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.panels import GREY

ROW, FRAME = 0.27, 1.2
"""Inches: a row, and what stands above and below."""

SIZE = 8
"""Of all text, in points."""


def rivals_figure(table: pd.DataFrame, palette: Palette = PLAIN) -> Figure:
    """Degraded accuracy, p99 and p99.9, and tasks a query; a row a rival, the best answers on top.

    Args:
        table: of :func:`parity_exp.analysis.tables.rivals.rivals_table`.
        palette: the colours of the policies.
    """
    rows = table.sort_values(["degraded_accuracy", "p99.9_ms"], ascending=[True, False])
    colours = [palette.policies([policy])[policy] for policy in rows["policy"]]
    places = range(len(rows))
    figure = Figure(figsize=(9.0, FRAME + ROW * len(rows)), layout="constrained")
    accuracy, latency, tasks = figure.subplots(1, 3, sharey=True, width_ratios=[4, 4, 2])
    accuracy.axvline(table["available_accuracy"].max(), color=GREY, lw=1, ls="--", zorder=1)
    accuracy.scatter(rows["degraded_accuracy"], places, color=colours, s=36, zorder=3)
    for place, value in zip(places, rows["degraded_accuracy"], strict=True):
        at_the_left = value > rows["degraded_accuracy"].mean()
        accuracy.annotate(
            f"{value:.3f}", (value, place), (-7 if at_the_left else 7, 0), textcoords="offset points", fontsize=SIZE,
            ha="right" if at_the_left else "left", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    accuracy.xaxis.set_major_locator(MaxNLocator(5))
    latency.hlines(places, rows["p99_ms"], rows["p99.9_ms"], color=colours, lw=1.4, alpha=0.6)
    latency.scatter(rows["p99_ms"], places, color=colours, s=36, zorder=3)
    latency.scatter(rows["p99.9_ms"], places, color="white", edgecolor=colours, linewidth=1.4, s=36, zorder=3)
    latency.set_xscale("log")
    milliseconds(latency.xaxis)
    tasks.barh(places, rows["tasks_per_query"], color=colours, height=0.6)
    for place, value in zip(places, rows["tasks_per_query"], strict=True):
        tasks.annotate(f"{value:.2f}", (value, place), (3, 0), textcoords="offset points", fontsize=SIZE, va="center")
    tasks.set_xlim(0, 1.25 * rows["tasks_per_query"].max())
    _name(accuracy, "accuracy of what answers a late query\n(dashed: the base model)")
    _name(latency, "latency in ms\n(filled: p99, open: p99.9)")
    _name(tasks, "tasks a query\n")
    accuracy.set_yticks(list(places), [str(name).replace("_", " ") for name in rows["name"]])
    accuracy.set_ylim(-0.7, len(rows) - 0.3)
    return figure


def _name(axis: Axes, words: str) -> None:
    axis.set_xlabel(words, fontsize=SIZE)
    axis.tick_params(labelsize=SIZE)
    axis.tick_params(axis="y", length=0)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
