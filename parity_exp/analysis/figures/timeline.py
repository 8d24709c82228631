"""What instances did during a few seconds, what slowed them down, and which queries waited."""

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from parity_exp.analysis.figures.answers import SOURCE_COLOURS
from parity_exp.analysis.figures.axes import ALARM, clean, milliseconds, ms
from parity_exp.disturbances.timeline import FAULTS
from parity_exp.disturbances.trace import CONTENTION, GONE, KILL, SLOW, TENANT
from parity_exp.policies.policy import SOURCES
from parity_exp.recordings.measures import percentiles

SHOWN, LINES = 24, 4_000
"""Of more than so many instances and lines a picture shows the ones that matter."""

MODEL_COLOURS = ("#5b7fa6", "#7a5ba6", "#5ba68f", "#a6825b")

DISTURBANCES = {
    SLOW: ("#f4b942", "tasks that begin here are late"),
    GONE: ("#b0b0b0", "the instance is not there"),
    CONTENTION: ("#9bc18c", "a process competes"),
    TENANT: ("#e3a1a1", "a second service runs"),
    **{kind: ("#c9a0dc", f"outputs are spoilt ({kind})") for kind in FAULTS},
}
"""How kinds of rows of the trace look, but for kills."""


def worst_window(tasks: pd.DataFrame, queries: pd.DataFrame) -> tuple[float, float]:
    """Begin and end, in seconds, of a stretch of time that holds the latest answers and is short enough to draw.

    It is some 120 tasks of an instance long, or longer where single queries took longer; and it stands where the
    slowest hundredth of the queries has most time lost, summed over queries.
    """
    latency_s = queries["latency_ms"].to_numpy() / 1000
    task_s = float((tasks["finished_s"] - tasks["started_s"]).median())
    width_s = float(np.nanmax([0.01, 120 * task_s, 2.5 * latency_s.max()]))
    due_s = queries["scheduled_s"].to_numpy()
    width_s = min(width_s, 6.0, max(LINES / len(due_s) * float(np.ptp(due_s)), 5 * task_s))
    slow = latency_s >= percentiles(latency_s)["p99"]
    order = np.argsort(due_s[slow])
    starts_s = due_s[slow][order]
    excess_s = np.concatenate([[0.0], np.cumsum((latency_s[slow] - np.median(latency_s))[order])])
    last = np.searchsorted(starts_s, starts_s + 0.75 * width_s, side="right")
    best = int(np.argmax(excess_s[last] - excess_s[np.arange(len(starts_s))]))
    end_s = min(float(starts_s[best]) + 0.9 * width_s, float(queries["completed_s"].max()))
    return max(0.0, end_s - width_s), end_s


def instance_timeline(
    tasks: pd.DataFrame,
    trace: pd.DataFrame | None,
    queries: pd.DataFrame,
    window: tuple[float, float] | None = None,
    policy: str = "",
) -> Figure:
    """What each instance did during a few seconds, what slowed it down, and the queries that waited for it.

    Of very many instances those are shown that gave the latest answers.

    Args:
        tasks: a row a task.
        trace: the delays that were injected, or None.
        queries: a row a query.
        window: begin and end in seconds; the worst stretch where it is not given.
        policy: for the title.
    """
    begin_s, end_s = window or worst_window(tasks, queries)
    seen = queries[(queries["completed_s"] >= begin_s) & (queries["scheduled_s"] <= end_s)]
    slow_ms = percentiles(queries["latency_ms"].to_numpy())["p99"]
    late = seen[(seen["latency_ms"] >= slow_ms) & (seen["instance"] >= 0)]
    shown = _shown(int(max(tasks["instance"].max(), queries["instance"].max())) + 1, late)
    tasks, late = _in_rows(tasks, shown), _in_rows(late, shown)
    figure = Figure(figsize=(11, 3.4 + 0.38 * len(shown)), layout="constrained")
    above, rows = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 0.6 + 0.38 * len(shown)))
    _waiting(above, seen, slow_ms)
    above.set_title(f"{policy + ': ' if policy else ''}{begin_s:.2f} s to {end_s:.2f} s of the run", loc="left")

    handles: list[Patch | Line2D] = _bars(rows, tasks, begin_s, end_s)
    if trace is not None:
        handles += _injected(rows, _in_rows(trace, shown), begin_s, end_s)
    if not late.empty:
        marks = rows.plot(late["completed_s"], late["instance"] + 0.38, ls="", marker="^", ms=5, color=ALARM, zorder=5)
        marks[0].set_label("answer to a slow query")
        handles += marks
    rows.set(xlim=(begin_s, end_s), ylim=(len(shown) - 0.4, -0.6), xlabel="time, s from the beginning of the run")
    rows.set_yticks(range(len(shown)), [f"instance {instance}" for instance in shown])
    rows.spines[["top", "right", "left"]].set_visible(False)
    rows.tick_params(axis="y", length=0)
    figure.legend(handles=handles, frameon=False, ncols=6, loc="outside lower center", fontsize=9)
    return figure


def _shown(instances: int, late: pd.DataFrame) -> list[int]:
    """The instances to show, ascending; ``late`` holds slow queries by the instance that answered them."""
    if instances <= SHOWN:
        return list(range(instances))
    latest = late.groupby("instance")["latency_ms"].max().sort_values(ascending=False).index.tolist()[:SHOWN]
    others = (instance for instance in range(instances) if instance not in set(latest))
    return sorted([*latest, *islice(others, SHOWN - len(latest))])


def _in_rows(table: pd.DataFrame, shown: Sequence[int]) -> pd.DataFrame:
    """Of a table with instances the rows of those that are shown, with their places in the picture instead."""
    places = {instance: place for place, instance in enumerate(shown)}
    kept = table[table["instance"].isin(shown)]
    return kept.assign(instance=kept["instance"].map(places))


def _waiting(axis: Axes, queries: pd.DataFrame, slow_ms: float) -> None:
    """A line a query from its scheduled arrival to its answer, at the height of its latency."""
    usual = queries[queries["latency_ms"] < slow_ms]
    slow = queries[queries["latency_ms"] >= slow_ms]
    axis.hlines(usual["latency_ms"], usual["scheduled_s"], usual["completed_s"], color="#bbbbbb", lw=0.8)
    axis.hlines(slow["latency_ms"], slow["scheduled_s"], slow["completed_s"], color=ALARM, lw=1.1)
    for source, colour in SOURCE_COLOURS.items():
        some = queries[queries["source"] == source]
        if not some.empty:
            axis.plot(some["completed_s"], some["latency_ms"], ls="", marker="o", ms=2.6, color=colour, label=source)
    axis.axhline(slow_ms, color=ALARM, lw=0.8, ls=":")
    axis.annotate(
        f"p99 {ms(slow_ms)}", (1, slow_ms), (3, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8
    )
    axis.set(yscale="log", ylabel="latency, ms")
    milliseconds(axis.yaxis)
    axis.legend(frameon=False, ncols=len(SOURCES), loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    clean(axis)


def _bars(axis: Axes, tasks: pd.DataFrame, begin_s: float, end_s: float) -> list[Patch | Line2D]:
    """A bar a task in its instance's row, a colour a model; work that was lost has a red edge."""
    started_s = tasks["started_s"].fillna(tasks["placed_s"])
    seen = tasks.assign(started_s=started_s)[(started_s <= end_s) & (tasks["finished_s"] >= begin_s)]
    handles: list[Patch | Line2D] = []
    for model, colour in zip(tasks["model"].unique(), cycle(MODEL_COLOURS), strict=False):
        some = seen[seen["model"] == model]
        width_s = some["finished_s"] - some["started_s"]
        lost = np.where(some["outcome"] == "done", "white", ALARM)
        axis.barh(some["instance"], width_s, 0.46, some["started_s"], color=colour, edgecolor=lost, lw=0.5, zorder=3)
        handles.append(Patch(color=colour, label=f"{model} task"))
    return handles


def _injected(axis: Axes, trace: pd.DataFrame, begin_s: float, end_s: float) -> list[Patch | Line2D]:
    """A band a disturbance, a colour a kind, and a mark where an instance was killed."""
    handles: list[Patch | Line2D] = []
    seen = trace[(trace["start_s"] <= end_s) & (trace["end_s"] >= begin_s)]
    for kind, some in seen[seen["kind"] != KILL].groupby("kind"):
        colour, label = DISTURBANCES.get(str(kind), ("#c9c9c9", str(kind)))
        begins_s = some["start_s"].clip(lower=begin_s)
        width_s = some["end_s"].clip(upper=end_s) - begins_s
        axis.barh(some["instance"], width_s, 0.84, begins_s, color=colour, alpha=0.8)
        handles.append(Patch(color=colour, alpha=0.8, label=label))
    kills = seen[seen["kind"] == KILL]
    if not kills.empty:
        marks = axis.plot(kills["start_s"], kills["instance"], ls="", marker="x", ms=8, mew=2, color="black")
        marks[0].set(zorder=6, label="killed")
        handles += marks
    return handles
