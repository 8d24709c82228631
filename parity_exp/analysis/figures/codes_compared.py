"""Pictures that compare codes: what comes back by k, and what that is worth over all queries."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.panels import GREY, UNANSWERED, Plate, dots, finish, grid, left_labels, legend, panels
from parity_exp.analysis.runs.best_settings import best_settings

LINE_STYLES = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)), (0, (1, 3)))

MOST_FRACTION = 0.1


def degraded_by_k(measured: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """Degraded accuracy by k, a panel a data set and architecture, a line an encoder through its best setting."""
    shown, left_out = panels(measured, ["dataset", "architecture"], lambda rows: rows["k"].nunique() > 1)
    if not shown:
        return None
    colours = palette.encoders(measured["encoder"])
    figure, axes = grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        available = rows.groupby("k")["test/available_accuracy"].mean()
        axis.plot(available.index, available, color=GREY, lw=1, ls="--")
        several = sorted(rows["encoder"].unique(), key=str)
        for place, encoder in enumerate(several):
            some = rows[rows["encoder"] == encoder]
            shift = 0.06 * (place - (len(several) - 1) / 2)
            dots(axis, some["k"].astype(float) + shift, some["test/degraded_accuracy"], colours[encoder])
            best = best_settings(some, ["k"])["degraded"]
            axis.plot(best.index.astype(float) + shift, best, color=colours[encoder], lw=1.8)
        axis.set(title=title, xlabel="k", xticks=sorted(rows["k"].unique()))
        finish(axis)
    left_labels(axes, "degraded accuracy")
    lines = [Line2D([], [], color=colour, marker="o", ms=4, label=name) for name, colour in colours.items()]
    nothing_lost = Line2D([], [], color=GREY, ls="--", label="available accuracy")
    legend(figure, [*lines, nothing_lost])
    return Plate(figure, left_out)


def overall_accuracy(measured: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """A_o = (1 - f_u) A_a + f_u A_d over f_u, a line an encoder and k, a panel a data set and architecture."""
    shown, left_out = panels(measured, ["dataset", "architecture"], lambda rows: not rows.empty)
    if not shown:
        return None
    colours = palette.encoders(measured["encoder"])
    styles = dict(zip(sorted(measured["k"].dropna().unique()), LINE_STYLES, strict=False))
    fractions = np.linspace(0, MOST_FRACTION, 11)
    figure, axes = grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        lowest = 1.0
        for encoder, some in rows.groupby("encoder"):
            best = best_settings(some, ["k"])["degraded"]
            available = _nothing_lost(some).groupby(some["k"]).mean()
            for k in best.index.intersection(pd.Index(styles)):
                line = (1 - fractions) * available[k] + fractions * best[k]
                axis.plot(fractions, line, color=colours[str(encoder)], ls=styles[k], lw=1.6)
                lowest = min(lowest, float(line[-1]))
        highest = float(rows["test/available_accuracy"].mean())
        axis.plot(fractions, (1 - fractions) * highest, color=GREY, lw=1.2, ls=UNANSWERED)
        margin = max(0.1 * (highest - lowest), 0.002)
        axis.set(title=title, xlabel="fraction unavailable f_u", xlim=(0, MOST_FRACTION))
        axis.set_ylim(lowest - 2 * margin, highest + margin)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        finish(axis)
    left_labels(axes, "overall accuracy A_o")
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    handles += [Line2D([], [], color="black", ls=style, label=f"k = {k}") for k, style in styles.items()]
    handles.append(Line2D([], [], color=GREY, ls=UNANSWERED, label="lost ones unanswered"))
    legend(figure, handles)
    return Plate(figure, left_out)


def _nothing_lost(measured: pd.DataFrame) -> pd.Series:
    """Accuracy without losses: the base model's, or what a non-systematic code decodes from all answers."""
    available = measured["test/available_accuracy"]
    decoded = measured.get("test/no_loss_accuracy")
    return available if decoded is None else decoded.fillna(available)
