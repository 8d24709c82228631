"""Pictures of a capacity plan: what an objective costs in machines, and how late queries are on which cluster."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from parity_exp.analysis.figures.axes import clean
from parity_exp.analysis.figures.colours import policy_colours
from parity_exp.analysis.tables.capacity import machines_by_policy, name_of
from parity_exp.recordings.looks import Looks

MARKERS = "osD^vPX*"
CROSS: dict[str, Any] = {"ls": "", "marker": "x", "ms": 7, "mew": 1.8}
"""How the mark of an objective that cannot be kept looks."""


def capacity_figures(plan: pd.DataFrame, sizes: pd.DataFrame, looks: Looks | None = None) -> dict[str, Figure]:
    """Every picture of a plan by the name of its file.

    Args:
        plan: as ``plan.csv`` holds it.
        sizes: as ``plan-sizes.csv`` holds it.
        looks: what policies say of themselves.
    """
    pictures = {"machines_against_slo": machines_against_slo(plan, looks)}
    if not sizes.empty and np.isfinite(sizes["percentile_ms"]).any():
        pictures["latency_against_machines"] = latency_against_machines(plan, sizes, looks)
    return pictures


def machines_against_slo(plan: pd.DataFrame, looks: Looks | None = None) -> Figure:
    """The fewest machines of each policy by the objective; where it cannot be kept a mark stands at the top."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axis = figure.subplots()
    table = machines_by_policy(plan)
    first = plan.to_dict("records")[0]
    busy = float(first["busy_machines"])
    lines = _lines(plan, looks)
    most = max(float(np.nanmax(table.to_numpy(), initial=busy)), busy)
    wide = most > 8 * busy
    top = most * (2.2 if wide else 1.25)
    for place, policy in enumerate(table.columns):
        machines = table[policy]
        axis.plot(machines.index, machines, label=str(policy), **lines[str(policy)])
        lacking = machines.index[machines.isna()].to_numpy(dtype=float)
        height = np.full(len(lacking), 0.98 - 0.035 * place)  # no two crosses on each other
        axis.plot(lacking, height, color=lines[str(policy)]["color"], transform=axis.get_xaxis_transform(), **CROSS)
    if table.isna().to_numpy().any():
        axis.plot([], [], color="#555555", label="cannot be kept", **CROSS)
    axis.axhline(busy, color="#888888", lw=0.9, ls=":", zorder=0)
    axis.annotate(
        "busy with the queries alone", (1, busy), (-4, -4), ("axes fraction", "data"), "offset points", ha="right",
        va="top", fontsize=8, color="#555555",
    )  # fmt: skip
    axis.set(xscale="log", ylim=(0.7 * busy if wide else 0, top), yscale="log" if wide else "linear")
    axis.set(xlabel=f"objective: {name_of(first)} of latency at most, ms", ylabel="machines")
    axis.set_title(f"Fewest machines for {first['rate_qps']:,.0f} queries a second", loc="left")
    _plain(axis.xaxis, [float(value) for value in table.index])
    if wide:
        _log_ticks(axis.yaxis)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    clean(axis)
    return figure


def latency_against_machines(plan: pd.DataFrame, sizes: pd.DataFrame, looks: Looks | None = None) -> Figure:
    """The percentile of latency on every size that was simulated, with the objectives across."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axis = figure.subplots()
    first = plan.to_dict("records")[0]
    lines = _lines(plan, looks)
    finite = sizes[np.isfinite(sizes["percentile_ms"])]
    for policy in dict.fromkeys(sizes["policy"]):
        some = finite[finite["policy"] == policy]
        axis.plot(some["machines"], some["percentile_ms"], label=str(policy), **lines[str(policy)])
    for slo_ms in sorted(set(plan["slo_ms"])):
        axis.axhline(slo_ms, color="#888888", lw=0.8, ls=":", zorder=0)
    axis.axvline(float(first["busy_machines"]), color="#888888", lw=0.9, ls=":", zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="machines", ylabel=f"{name_of(first)} of latency, ms")
    axis.set_title(f"Latency at {first['rate_qps']:,.0f} queries a second", loc="left")
    _log_ticks(axis.xaxis)
    _log_ticks(axis.yaxis)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    clean(axis)
    return figure


def _lines(plan: pd.DataFrame, looks: Looks | None) -> dict[str, dict[str, Any]]:
    """How each policy's line looks, the same in both pictures."""
    colours = policy_colours(dict.fromkeys(plan["policy"]), looks)
    return {
        policy: {"color": colour, "marker": MARKERS[place % len(MARKERS)], "ms": 5, "lw": 1.6}
        for place, (policy, colour) in enumerate(colours.items())
    }


def _plain(axis: Axis, values: list[float]) -> None:
    """A tick at each of a few values, written as it is."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_ticks(values, [f"{value:.3g}" for value in values])
    axis.set_minor_locator(NullLocator())


def _log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
