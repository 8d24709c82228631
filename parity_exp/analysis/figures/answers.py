"""What clients got: where answers came from, and how good they were for how late they came."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from parity_exp.analysis.figures.axes import QueriesByPolicy, clean, milliseconds, slo_line
from parity_exp.analysis.figures.colours import policy_colours
from parity_exp.policies.policy import SOURCES
from parity_exp.recordings.looks import Looks
from parity_exp.recordings.measures import percentiles

SOURCE_COLOURS = dict(zip(SOURCES, ("#8c9aa8", "#0072b2", "#cc79a7", "#e69f00", "#b2182b"), strict=True))


def accuracy_against_tail(
    queries: QueriesByPolicy, looks: Looks | None = None, overall: Mapping[str, float] | None = None
) -> Figure:
    """Accuracy of what clients got against p99 and p99.9, a point a policy: the best are at the upper left.

    Args:
        queries: for each policy a row a query.
        looks: what policies say of themselves.
        overall: overall accuracy by policy, where answers were not compared with labels; policies without it are left
            out.
    """
    if overall is not None:
        queries = {policy: table for policy, table in queries.items() if policy in overall}
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    at = {policy: percentiles(table["latency_ms"].to_numpy()) for policy, table in queries.items()}
    for axis, name in zip(axes, ("p99", "p99.9"), strict=True):
        for policy, colour in policy_colours(queries, looks).items():
            accuracy = float(queries[policy]["correct"].mean()) if overall is None else overall[policy]
            axis.plot(at[policy][name], accuracy, ls="", marker="o", ms=9, color=colour, label=policy)
        axis.set(xscale="log", xlabel=f"{name}, ms", title=f"Accuracy and {name}")
        axis.margins(0.12)
        milliseconds(axis.xaxis)
        clean(axis)
        axis.grid(axis="x", alpha=0.25)
    axes[0].set_ylabel("accuracy of what clients got" if overall is None else "overall accuracy, calculated")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    return figure


def accuracy_against_slo(queries: QueriesByPolicy, slo_ms: float | None = None, looks: Looks | None = None) -> Figure:
    """Accuracy of what clients would have got had the deadline been x; the right panel shows the top of the left."""
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    whole, top = figure.subplots(1, 2)
    medians = [float(table["latency_ms"].median()) for table in queries.values()]
    longest = max(float(table["latency_ms"].max()) for table in queries.values())
    first_ms = 0.8 * min(medians)
    zoom_ms = min(1.5 * min(medians), longest)
    deadlines_ms = np.geomspace(first_ms, longest, 600)
    zoomed: list[float] = []
    for policy, colour in policy_colours(queries, looks).items():
        accuracy = accuracy_at(queries[policy], deadlines_ms)
        whole.plot(deadlines_ms, accuracy, color=colour, label=policy)
        top.plot(deadlines_ms, accuracy, color=colour)
        zoomed.extend(accuracy[deadlines_ms >= zoom_ms])
    longest *= 1.1
    margin = 0.05 * (max(zoomed) - min(zoomed)) + 0.0005
    top.set(xlim=(zoom_ms, longest), ylim=(min(zoomed) - margin, max(zoomed) + margin), title="the same, closer")
    whole.set(xlim=(first_ms, longest), ylim=(0, 1), title="Accuracy by deadline")
    whole.set(ylabel="accuracy of what clients get")
    for axis in (whole, top):
        axis.set(xscale="log", xlabel="deadline, ms")
        slo_line(axis, slo_ms, "bottom")
        milliseconds(axis.xaxis)
        clean(axis)
    figure.legend(*whole.get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    return figure


def accuracy_at(queries: pd.DataFrame, deadlines_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy of what clients would have got under each deadline, the default in place of late answers.

    Args:
        queries: a row a query, of one policy.
        deadlines_ms: in any order; the result has their shape.
    """
    order = np.argsort(queries["latency_ms"].to_numpy())
    latency_ms = queries["latency_ms"].to_numpy()[order]
    right = np.concatenate([[0], np.cumsum(queries["correct"].to_numpy()[order])])
    by_default = np.concatenate([[0], np.cumsum(queries["default_correct"].to_numpy()[order])])
    in_time = np.searchsorted(latency_ms, deadlines_ms, side="right")
    accuracy: NDArray[np.float64] = (right[in_time] + by_default[-1] - by_default[in_time]) / len(queries)
    return accuracy


def answer_sources(queries: QueriesByPolicy) -> Figure:
    """Where answers came from: all of them on the left, those that are not the base model's own on the right."""
    figure = Figure(figsize=(9, 1.5 + 0.5 * len(queries)), layout="constrained")
    whole, other = figure.subplots(1, 2, sharey=True)
    shares = pd.DataFrame(
        {policy: table["source"].value_counts(normalize=True) for policy, table in queries.items()},
        index=pd.Index(SOURCES),
    ).fillna(0.0)
    left = np.zeros(len(queries))
    own = shares.loc["own"].to_numpy()
    rest = dict(zip(shares.columns, 1 - own, strict=True))
    for source, colour in SOURCE_COLOURS.items():
        share = shares.loc[source].to_numpy()
        whole.barh(shares.columns, share, left=left, color=colour, label=source, height=0.6)
        if source != "own":
            other.barh(shares.columns, share, left=left - own, color=colour, height=0.6)
        left = left + share
    for policy in shares.columns:
        parts = [f"{source} {_percent(share)}" for source, share in shares[policy].items() if source != "own" and share]
        text = ", ".join(parts) or "all own"
        other.annotate(text, (rest[policy], policy), (4, 0), textcoords="offset points", va="center", fontsize=8)
    whole.set(title="Answers by source", xlim=(0, 1))
    other.set(title="those not the base model's own", xlim=(0, max(*rest.values(), 1e-4) * 2.2))
    whole.invert_yaxis()
    for axis in (whole, other):
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axis.spines[["top", "right"]].set_visible(False)
    other.locator_params(axis="x", nbins=5)
    figure.legend(*whole.get_legend_handles_labels(), frameon=False, ncols=len(SOURCES), loc="outside lower center")
    return figure


def _percent(share: float) -> str:
    """Two digits, so that one in ten thousand does not become nothing."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.1f} %"
