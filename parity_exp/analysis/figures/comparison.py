"""Pictures that compare runs, from the tidy tables.

Every function returns a picture with the number of panels that found no place in it, or None where the runs do not
support one. Encoders and policies have one colour each in all pictures; panels hold what is comparable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from parity_exp.analysis.figures.axes import clean
from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.runs.best_settings import best_settings
from parity_exp.analysis.tables.comparison import EQUALS, load_words

LINE_STYLES = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)), (0, (1, 3)))
UNANSWERED = (0, (1, 1))
GREY = "#777777"
PANELS, COLUMNS = 6, 3
TITLE_WIDTH, TITLE_LINES = 40, 3  # characters and lines of a panel's title
MOST_FRACTION = 0.1
LABELLED = 5

ENVIRONMENT = ["dataset", "architecture", "setting"]
"""Columns of serving within which policies compete."""

CODE = ["encoder", "k", "r"]


@dataclass(frozen=True)
class Plate:
    """A picture, and how many panels of its kind are not in it."""

    figure: Figure
    left_out: int = 0


def comparison_figures(measured: pd.DataFrame, serving: pd.DataFrame, palette: Palette = PLAIN) -> dict[str, Plate]:
    """Every picture that the runs support, by the name of its file.

    Args:
        measured: a row a measured code, see :func:`parity_exp.analysis.runs.tidy.measured_codes`.
        serving: a row a run and policy.
        palette: the colours of policies and encoders.
    """
    predicted = serving.dropna(subset="accuracy") if "accuracy" in serving else serving  # simulations have none
    plates = {
        "degraded_by_k": degraded_by_k(measured, palette),
        "overall_accuracy": overall_accuracy(measured, palette),
        "delivered_accuracy": delivered_accuracy(predicted, palette),
        "latency_by_utilisation": latency_by_load(serving, by_rate=False, palette=palette),
        "latency_by_rate": latency_by_load(serving, by_rate=True, palette=palette),
        "gap_by_instances": gap_by_resources(serving, "extra_instances", palette),
        "gap_by_tasks": gap_by_resources(serving, "tasks_per_query", palette),
        "accuracy_against_latency": accuracy_against_latency(predicted, palette),
    }
    return {name: plate for name, plate in plates.items() if plate is not None}


def degraded_by_k(measured: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """Degraded accuracy by k, a panel a data set and architecture, a line an encoder through its best setting."""
    shown, left_out = panels(measured, ["dataset", "architecture"], lambda rows: rows["k"].nunique() > 1)
    if not shown:
        return None
    colours = palette.encoders(measured["encoder"])
    figure, axes = _grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        available = rows.groupby("k")["test/available_accuracy"].mean()
        axis.plot(available.index, available, color=GREY, lw=1, ls="--")
        several = sorted(rows["encoder"].unique(), key=str)
        for place, encoder in enumerate(several):
            some = rows[rows["encoder"] == encoder]
            shift = 0.06 * (place - (len(several) - 1) / 2)
            _dots(axis, some["k"].astype(float) + shift, some["test/degraded_accuracy"], colours[encoder])
            best = best_settings(some, ["k"])["degraded"]
            axis.plot(best.index.astype(float) + shift, best, color=colours[encoder], lw=1.8)
        axis.set(title=title, xlabel="k", xticks=sorted(rows["k"].unique()))
        _finish(axis)
    _left_labels(axes, "degraded accuracy")
    lines = [Line2D([], [], color=colour, marker="o", ms=4, label=name) for name, colour in colours.items()]
    nothing_lost = Line2D([], [], color=GREY, ls="--", label="available accuracy")
    _legend(figure, [*lines, nothing_lost])
    return Plate(figure, left_out)


def overall_accuracy(measured: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """A_o = (1 - f_u) A_a + f_u A_d over f_u, a line an encoder and k, a panel a data set and architecture."""
    shown, left_out = panels(measured, ["dataset", "architecture"], lambda rows: not rows.empty)
    if not shown:
        return None
    colours = palette.encoders(measured["encoder"])
    styles = dict(zip(sorted(measured["k"].dropna().unique()), LINE_STYLES, strict=False))
    fractions = np.linspace(0, MOST_FRACTION, 11)
    figure, axes = _grid(len(shown))
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
        _finish(axis)
    _left_labels(axes, "overall accuracy A_o")
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    handles += [Line2D([], [], color="black", ls=style, label=f"k = {k}") for k, style in styles.items()]
    handles.append(Line2D([], [], color=GREY, ls=UNANSWERED, label="lost ones unanswered"))
    _legend(figure, handles)
    return Plate(figure, left_out)


def _nothing_lost(measured: pd.DataFrame) -> pd.Series:
    """Accuracy without losses: the base model's, or what a non-systematic code decodes from all answers."""
    available = measured["test/available_accuracy"]
    decoded = measured.get("test/no_loss_accuracy")
    return available if decoded is None else decoded.fillna(available)


def delivered_accuracy(serving: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """What clients got right by the share of answers that were not the base model's own, a dot a run x policy."""
    if "fraction/own" not in serving or "accuracy" not in serving:
        return None
    late = serving.assign(late=1 - serving["fraction/own"]).dropna(subset=["accuracy"])
    shown, left_out = panels(late, ["dataset", "architecture"], lambda rows: len(rows) > 1 and rows["late"].max() > 0)
    if not shown:
        return None
    colours = palette.policies(_policies(late))
    figure, axes = _grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        for policy, some in rows.groupby("policy"):
            _dots(axis, some["late"], some["accuracy"], colours[str(policy)], size=24)
        right, most = float(rows["accuracy"].max()), float(rows["late"].max())
        known = rows["test/available_accuracy"].mean() if "test/available_accuracy" in rows else right
        available = right if known != known else float(known)
        axis.plot([0, most], [available, available * (1 - most)], color=GREY, lw=1.2, ls=UNANSWERED)
        lowest = float(rows["accuracy"].min())
        margin = max(0.08 * (max(right, available) - lowest), 0.002)
        axis.set(title=title, xlabel="answers not the base model's own", xlim=(-0.03 * most, 1.05 * most))
        axis.set_ylim(lowest - margin, max(right, available) + margin)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axis.locator_params(axis="x", nbins=5)
        _finish(axis)
    _left_labels(axes, "accuracy of what clients got")
    unanswered = Line2D([], [], color=GREY, ls=UNANSWERED, label="had they stayed unanswered")
    _legend(figure, [*_policy_handles(colours), unanswered])
    return Plate(figure, left_out)


def latency_by_load(serving: pd.DataFrame, by_rate: bool, palette: Palette = PLAIN) -> Plate | None:
    """p50 and p99.9 by load, a line each a policy, a panel a code and setting.

    Args:
        serving: a row a run and policy.
        by_rate: of the runs whose load is queries a second; else of those whose load is a share.
    """
    if serving.empty:
        return None
    load = "rate_qps" if by_rate else "utilisation"
    rows = serving[(serving["load_is_a_rate"] == by_rate) & serving[load].notna()]
    shown, left_out = panels(rows, [*ENVIRONMENT, *CODE], lambda some: some[load].nunique() > 1)
    if not shown:
        return None
    colours = palette.policies(_policies(rows))
    figure, axes = _grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        for _, own in some.groupby("policy_variant"):
            colour = colours[str(own["policy"].iloc[0])]
            for name, style in (("p99.9", "-"), ("p50", ":")):
                at = own.groupby(load)[f"latency_ms/{name}"].agg(["mean", "min", "max"])
                axis.plot(at.index, at["mean"], color=colour, ls=style, lw=1.8, marker="o", ms=3.5)
                if len(own) > len(at):
                    axis.fill_between(at.index, at["min"], at["max"], color=colour, alpha=0.12, lw=0)
        axis.set(title=title, yscale="log", xlabel="queries a second" if by_rate else "utilisation")
        _milliseconds(axis)
        if not by_rate:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        _finish(axis)
    _left_labels(axes, "latency, ms")
    styles = [Line2D([], [], color="black", ls=style, label=name) for name, style in (("p99.9", "-"), ("p50", ":"))]
    _legend(figure, [*_policy_handles(colours), *styles])
    return Plate(figure, left_out)


def gap_by_resources(serving: pd.DataFrame, resource: str, palette: Palette = PLAIN) -> Plate | None:
    """The gap p99.9 - p50 by what a policy needs in addition, a panel a setting and load.

    Args:
        serving: a row a run and policy.
        resource: ``extra_instances``, shown as a share of the base instances, or ``tasks_per_query``.
    """
    if resource not in serving or serving[resource].isna().all():
        return None
    if resource == "extra_instances":
        amount = serving["extra_instances"] / (serving["instances"] - serving["extra_instances"]).clip(lower=1)
    else:
        amount = serving[resource]
    rows = serving.assign(amount=amount, load=load_words(serving)).dropna(subset=["amount", "gap_ms"])
    shown, left_out = panels(rows, [*ENVIRONMENT, "load"], lambda some: some["amount"].round(3).nunique() > 1)
    if not shown:
        return None
    colours = palette.policies(_policies(rows))
    figure, axes = _grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        for policy, own in some.groupby("policy"):
            _dots(axis, own["amount"], own["gap_ms"], colours[str(policy)], size=22)
            means = own.groupby(own["amount"].round(3))["gap_ms"].mean()
            axis.plot(means.index, means, color=colours[str(policy)], lw=1.5)
        axis.set(title=title, yscale="log")
        if resource == "extra_instances":
            axis.set_xlabel("extra instances, of the base instances")
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        else:
            axis.set_xlabel("tasks a query")
        axis.locator_params(axis="x", nbins=6)
        _milliseconds(axis)
        _finish(axis)
    _left_labels(axes, "gap p99.9 - p50, ms")
    _legend(figure, _policy_handles(colours))
    return Plate(figure, left_out)


def accuracy_against_latency(serving: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """What clients got right against p99.9, a dot a policy and code, a panel a setting and load; with its front."""
    if "accuracy" not in serving:
        return None
    rows = serving.assign(load=load_words(serving)).dropna(subset=["accuracy"])
    keys = ["policy", "policy_variant", *CODE]
    shown, left_out = panels(rows, [*ENVIRONMENT, "load"], lambda some: len(some[keys].drop_duplicates()) > 1)
    if not shown:
        return None
    colours = palette.policies(_policies(rows))
    figure, axes = _grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        means = some.groupby(keys, dropna=False)[["latency_ms/p99.9", "accuracy"]].mean().reset_index()
        for policy, own in means.groupby("policy"):
            _dots(axis, own["latency_ms/p99.9"], own["accuracy"], colours[str(policy)], size=28)
        front = means.loc[pareto_front(means["latency_ms/p99.9"], means["accuracy"])]
        axis.plot(front["latency_ms/p99.9"], front["accuracy"], drawstyle="steps-post", color="black", lw=0.9, zorder=1)
        axis.scatter(front["latency_ms/p99.9"], front["accuracy"], s=70, facecolor="none", edgecolor="black", lw=0.9)
        varying = [key for key in CODE if means[key].nunique() > 1]
        for _, point in front.head(LABELLED).iterrows() if varying else ():
            words = ", ".join(f"{key} = {point[key]}" if key in "kr" else str(point[key]) for key in varying)
            at = (float(point["latency_ms/p99.9"]), float(point["accuracy"]))
            axis.annotate(words, at, (6, -9), textcoords="offset points", fontsize=6.5, color="#333333")
        axis.set(title=title, xscale="log", xlabel="p99.9, ms")
        axis.margins(x=0.12, y=0.12)
        _milliseconds(axis, "x")
        _finish(axis)
    _left_labels(axes, "accuracy of what clients got")
    ring = Line2D([], [], color="black", lw=0.9, marker="o", mfc="none", ms=8, label="Pareto front")
    _legend(figure, [*_policy_handles(colours), ring])
    return Plate(figure, left_out)


def pareto_front(cost: pd.Series, value: pd.Series) -> list[int]:
    """Index of the rows that no other beats, of little cost first: less cost and as much value, or more at the same."""
    front: list[int] = []
    best = -np.inf
    for at in pd.DataFrame({"cost": cost, "value": -value}).dropna().sort_values(["cost", "value"]).index:
        if value[at] > best:
            best = float(value[at])
            front.append(at)
    return front


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
    return "\n".join(wrap(", ".join(words), TITLE_WIDTH)[:TITLE_LINES])


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = 2 if count == 4 else min(count, COLUMNS)
    rows = -(-count // columns)
    width = 6.0 if columns == 1 else 9.0
    figure = Figure(
        figsize=(width, 3.3 * rows + 0.7 if columns > 1 else 4.4), layout=ConstrainedLayoutEngine(h_pad=0.09)
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.xaxis.label.set_fontsize(9)
        axis.yaxis.label.set_fontsize(9)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def _left_labels(axes: Sequence[Axes], label: str) -> None:
    for axis in axes:
        place = axis.get_subplotspec()
        if place is not None and place.is_first_col():
            axis.set_ylabel(label)


def _dots(axis: Axes, x: pd.Series, y: pd.Series, colour: str, size: float = 16) -> None:
    """Dots that let others shine through, the more of them there are."""
    alpha = float(np.clip(25 / max(len(x), 1), 0.2, 0.85))
    axis.scatter(x.astype(float), y.astype(float), s=size, color=colour, alpha=alpha, lw=0, zorder=3)


def _policies(serving: pd.DataFrame) -> list[str]:
    return [str(policy) for policy in serving["policy"].unique()]


def _policy_handles(colours: dict[str, str]) -> list[Line2D]:
    return [Line2D([], [], color=colour, marker="o", ms=4, label=policy) for policy, colour in colours.items()]


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    per_row = 5 if figure.get_figwidth() > 7 else 3
    figure.legend(handles=list(handles), frameon=False, ncols=per_row, loc="outside lower center", fontsize=8.5)


def _milliseconds(axis: Axes, which: str = "y") -> None:
    """Plain numbers at 1, 2 and 5 times powers of ten on a logarithmic axis."""
    scale = axis.yaxis if which == "y" else axis.xaxis
    scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = scale.get_view_interval()
    few = high / low < 4
    scale.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}") if few else NullFormatter())


def _finish(axis: Axes) -> None:
    """A title that its panel has room for, on axes like those of all pictures."""
    axis.title.set_fontsize(9)
    clean(axis)
