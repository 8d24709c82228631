"""Pictures that compare policies: how late answers are by load, what that takes, and how good they are."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.panels import (
    GREY,
    UNANSWERED,
    Plate,
    dots,
    finish,
    grid,
    left_labels,
    legend,
    milliseconds,
    panels,
)
from parity_exp.analysis.tables.comparison import load_words

LABELLED = 5

ENVIRONMENT = ["dataset", "architecture", "setting"]
"""Columns of serving within which policies compete."""

CODE = ["encoder", "k", "r"]


def delivered_accuracy(serving: pd.DataFrame, palette: Palette = PLAIN) -> Plate | None:
    """What clients got right by the share of answers that were not the base model's own, a dot a run x policy."""
    if "fraction/own" not in serving or "accuracy" not in serving:
        return None
    late = serving.assign(late=1 - serving["fraction/own"]).dropna(subset=["accuracy"])
    shown, left_out = panels(late, ["dataset", "architecture"], lambda rows: len(rows) > 1 and rows["late"].max() > 0)
    if not shown:
        return None
    colours = palette.policies(_policies(late))
    figure, axes = grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        for policy, some in rows.groupby("policy"):
            dots(axis, some["late"], some["accuracy"], colours[str(policy)], size=24)
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
        finish(axis)
    left_labels(axes, "accuracy of what clients got")
    unanswered = Line2D([], [], color=GREY, ls=UNANSWERED, label="had they stayed unanswered")
    legend(figure, [*_policy_handles(colours), unanswered])
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
    figure, axes = grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        for _, own in some.groupby("policy_variant"):
            colour = colours[str(own["policy"].iloc[0])]
            for name, style in (("p99.9", "-"), ("p50", ":")):
                at = own.groupby(load)[f"latency_ms/{name}"].agg(["mean", "min", "max"])
                axis.plot(at.index, at["mean"], color=colour, ls=style, lw=1.8, marker="o", ms=3.5)
                if len(own) > len(at):
                    axis.fill_between(at.index, at["min"], at["max"], color=colour, alpha=0.12, lw=0)
        axis.set(title=title, yscale="log", xlabel="queries a second" if by_rate else "utilisation")
        milliseconds(axis)
        if not by_rate:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        finish(axis)
    left_labels(axes, "latency, ms")
    styles = [Line2D([], [], color="black", ls=style, label=name) for name, style in (("p99.9", "-"), ("p50", ":"))]
    legend(figure, [*_policy_handles(colours), *styles])
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
    figure, axes = grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        for policy, own in some.groupby("policy"):
            dots(axis, own["amount"], own["gap_ms"], colours[str(policy)], size=22)
            means = own.groupby(own["amount"].round(3))["gap_ms"].mean()
            axis.plot(means.index, means, color=colours[str(policy)], lw=1.5)
        axis.set(title=title, yscale="log")
        if resource == "extra_instances":
            axis.set_xlabel("extra instances, of the base instances")
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        else:
            axis.set_xlabel("tasks a query")
        axis.locator_params(axis="x", nbins=6)
        milliseconds(axis)
        finish(axis)
    left_labels(axes, "gap p99.9 - p50, ms")
    legend(figure, _policy_handles(colours))
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
    figure, axes = grid(len(shown))
    for axis, (title, some) in zip(axes, shown, strict=False):
        means = some.groupby(keys, dropna=False)[["latency_ms/p99.9", "accuracy"]].mean().reset_index()
        for policy, own in means.groupby("policy"):
            dots(axis, own["latency_ms/p99.9"], own["accuracy"], colours[str(policy)], size=28)
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
        milliseconds(axis, "x")
        finish(axis)
    left_labels(axes, "accuracy of what clients got")
    ring = Line2D([], [], color="black", lw=0.9, marker="o", mfc="none", ms=8, label="Pareto front")
    legend(figure, [*_policy_handles(colours), ring])
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


def _policies(serving: pd.DataFrame) -> list[str]:
    return [str(policy) for policy in serving["policy"].unique()]


def _policy_handles(colours: dict[str, str]) -> list[Line2D]:
    return [Line2D([], [], color=colour, marker="o", ms=4, label=policy) for policy, colour in colours.items()]
