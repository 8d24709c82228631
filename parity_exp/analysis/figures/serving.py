"""Pictures of serving: how late answers were, under which policy, why, and what clients got.

Every function returns a Matplotlib figure and leaves saving to the caller. Policies keep their colours through all
figures of a run (Okabe and Ito's palette, which people with colour-blindness can tell apart).
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from parity_exp.analysis.figures.axes import clean
from parity_exp.analysis.figures.colours import policy_colours
from parity_exp.disturbances.timeline import FAULTS
from parity_exp.disturbances.trace import CLUSTER, CONTENTION, KILL, SLOW, TENANT
from parity_exp.policies.policy import SOURCES
from parity_exp.recordings.looks import Looks, baseline_among
from parity_exp.recordings.measures import percentiles

SOURCE_COLOURS = dict(zip(SOURCES, ("#8c9aa8", "#0072b2", "#cc79a7", "#e69f00", "#b2182b"), strict=True))
MODEL_COLOURS = ("#5b7fa6", "#7a5ba6", "#5ba68f", "#a6825b")
DISTURBANCES = {
    SLOW: ("#f4b942", "tasks that begin here are late"),
    CONTENTION: ("#9bc18c", "a process competes"),
    TENANT: ("#e3a1a1", "a second service runs"),
    **{kind: ("#c9a0dc", f"outputs are spoilt ({kind})") for kind in FAULTS},
}
"""How kinds of rows of the trace look, but for kills."""

ALARM = "#b2182b"

STEPS, DOTS, SHOWN, LINES = 4_000, 40_000, 24, 4_000
"""Of more than so many steps of a curve, dots, instances and lines a picture shows the ones that matter."""

QueriesByPolicy = Mapping[str, pd.DataFrame]


def serving_figures(
    queries: QueriesByPolicy,
    tasks: Mapping[str, pd.DataFrame],
    trace: pd.DataFrame | None = None,
    slo_ms: float | None = None,
    instances: Mapping[str, float] | None = None,
    looks: Looks | None = None,
) -> dict[str, Figure]:
    """Every picture of a serving run by the name of its file; none of a run that has recorded nothing.

    The timelines show all policies in the same window of time, so that they can be laid side by side: it is chosen
    where the first policy, the baseline if there is one, was latest.

    Args:
        queries: for each policy a row a query.
        tasks: for each policy a row a task.
        trace: the delays that were injected, as ``straggler-trace.csv`` holds them.
        slo_ms: the deadline.
        instances: for each policy how many it had, which tells its rows of the trace where clusters have several sizes.
        looks: what policies say of themselves: their colours, and which is the baseline.
    """
    served = {policy: table for policy, table in queries.items() if not table.empty}
    if not served:
        return {}
    pictures = {"latency_ccdf": latency_ccdf(served, slo_ms, looks)}
    if all("correct" in table for table in served.values()):  # of a simulation it is not known
        pictures["accuracy_against_tail"] = accuracy_against_tail(served, looks)
        pictures["accuracy_against_slo"] = accuracy_against_slo(served, slo_ms, looks)
    pictures["answer_sources"] = answer_sources(served)
    pictures["latency_over_time"] = latency_over_time(served, slo_ms, looks)
    told = [policy for policy in served if policy in tasks and not tasks[policy].empty]
    if told:
        baseline = baseline_among(told, looks) or told[0]
        window = worst_window(tasks[baseline], served[baseline])
        for policy in told:
            pictures[f"instance_timeline-{policy}"] = instance_timeline(
                tasks[policy], met(trace, (instances or {}).get(policy)), served[policy], window, policy
            )
    return pictures


def met(trace: pd.DataFrame | None, instances: float | None) -> pd.DataFrame | None:
    """The rows of a trace that hold for a cluster of so many instances; where that is not known, those for all."""
    if trace is None or CLUSTER not in trace:
        return trace
    return trace[trace[CLUSTER].isna() | (trace[CLUSTER] == instances)]


def latency_ccdf(queries: QueriesByPolicy, slo_ms: float | None = None, looks: Looks | None = None) -> Figure:
    """The share of queries that took longer than x, of every policy; both axes are logarithmic."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axis = figure.subplots()
    most = max(len(table) for table in queries.values())
    for policy, colour in policy_colours(queries, looks).items():
        latency_ms = np.sort(queries[policy]["latency_ms"].to_numpy())
        longer = 1 - np.arange(len(latency_ms)) / len(latency_ms)
        at = percentiles(latency_ms)
        label = f"{policy}  (p99.9 {_ms(at['p99.9'])})"
        drawn = _steps(len(latency_ms))
        axis.plot(latency_ms[drawn], longer[drawn], drawstyle="steps-pre", color=colour, lw=1.8, label=label)
    axis.set(xscale="log", yscale="log", ylim=(0.7 / most, 1.15), title="Latency: share of queries that took longer")
    axis.set(xlabel="latency from the scheduled arrival, ms", ylabel="share of queries that took longer")
    for name, share in (("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99.9", 0.001)):
        if share > 1 / most:
            axis.axhline(share, color="#888888", lw=0.7, ls=":", zorder=0)
            axis.annotate(name, (1, share), (4, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8)
    _slo_line(axis, slo_ms, "top")
    _milliseconds(axis.xaxis)
    axis.legend(frameon=False, loc="upper right")  # where no curve comes: of the latest queries there are few
    clean(axis)
    axis.grid(axis="x", alpha=0.25)
    return figure


def accuracy_against_tail(queries: QueriesByPolicy, looks: Looks | None = None) -> Figure:
    """Accuracy of what clients got against p99 and p99.9, a point a policy: the best are at the upper left."""
    figure = Figure(figsize=(9, 4.3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    at = {policy: percentiles(table["latency_ms"].to_numpy()) for policy, table in queries.items()}
    for axis, name in zip(axes, ("p99", "p99.9"), strict=True):
        for policy, colour in policy_colours(queries, looks).items():
            accuracy = float(queries[policy]["correct"].mean())
            axis.plot(at[policy][name], accuracy, ls="", marker="o", ms=9, color=colour, label=policy)
        axis.set(xscale="log", xlabel=f"{name}, ms", title=f"Accuracy and {name}")
        axis.margins(0.12)
        _milliseconds(axis.xaxis)
        clean(axis)
        axis.grid(axis="x", alpha=0.25)
    axes[0].set_ylabel("accuracy of what clients got")
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
        _slo_line(axis, slo_ms, "bottom")
        _milliseconds(axis.xaxis)
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


def latency_over_time(queries: QueriesByPolicy, slo_ms: float | None = None, looks: Looks | None = None) -> Figure:
    """Every query's latency by its scheduled arrival, a row a policy, with median and p99 of short intervals."""
    figure = Figure(figsize=(9, 0.8 + 1.6 * len(queries)), layout="constrained")
    axes = figure.subplots(len(queries), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (policy, colour) in zip(axes, policy_colours(queries, looks).items(), strict=True):
        table = queries[policy]
        due_s, latency_ms = table["scheduled_s"].to_numpy(), table["latency_ms"].to_numpy()
        drawn = _dots(latency_ms)
        axis.plot(due_s[drawn], latency_ms[drawn], ls="", marker=".", ms=2, alpha=0.35, color=colour, rasterized=True)
        pieces = int(np.clip(len(table) // 200, 1, 80))
        edges = np.linspace(due_s.min(), due_s.max(), pieces + 1)
        part = table["latency_ms"].groupby(np.clip(np.searchsorted(edges, due_s, side="right") - 1, 0, pieces - 1))
        late, middle = part.quantile(0.99), part.median()
        centre_s = ((edges[:-1] + edges[1:]) / 2)[late.index.to_numpy()]
        axis.plot(centre_s, late, color="black", lw=1, label="p99 of an interval")
        axis.plot(centre_s, middle, color="black", lw=1, ls="--", label="median of an interval")
        axis.set(yscale="log", ylabel="latency, ms")
        axis.set_title(policy, loc="left", color=colour, fontweight="bold", fontsize=10)
        if slo_ms is not None:
            axis.axhline(slo_ms, color=ALARM, lw=0.9, ls="-.", label="deadline")
        _milliseconds(axis.yaxis)
        clean(axis)
    axes[0].legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    axes[-1].set_xlabel("scheduled arrival, s from the beginning of the run")
    return figure


def _steps(count: int) -> NDArray[np.int64]:
    """Which of many sorted values to draw a curve through: all of the last ones, ever fewer before them."""
    if count <= STEPS:
        return np.arange(count)
    from_the_end = np.unique(np.geomspace(1, count, STEPS).astype(np.int64))
    return count - from_the_end[::-1]


def _dots(latency_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which queries to draw: all, or of very many the slowest and every so many of the others."""
    if len(latency_ms) <= DOTS:
        return np.ones(len(latency_ms), dtype=bool)
    drawn: NDArray[np.bool_] = latency_ms >= np.partition(latency_ms, -DOTS // 4)[-DOTS // 4]
    drawn[:: 2 * len(latency_ms) // DOTS] = True
    return drawn


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
        f"p99 {_ms(slow_ms)}", (1, slow_ms), (3, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8
    )
    axis.set(yscale="log", ylabel="latency, ms")
    _milliseconds(axis.yaxis)
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


def _slo_line(axis: Axes, slo_ms: float | None, side: Literal["top", "bottom"]) -> None:
    """A line at the deadline, where that is within the axis, with its name at the top or the bottom."""
    if slo_ms is None:
        return
    low, high = axis.get_xlim()
    if not low <= slo_ms <= high:
        return
    axis.axvline(slo_ms, color=ALARM, lw=0.9, ls="-.")
    height, shift = (1, -4) if side == "top" else (0, 4)
    text = axis.annotate(
        f"deadline {_ms(slo_ms)}", (slo_ms, height), (-3, shift), ("data", "axes fraction"), "offset points"
    )
    text.set(rotation=90, ha="right", va=side, fontsize=8, color=ALARM)


def _milliseconds(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, written as plain numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _ms(value_ms: float) -> str:
    return f"{value_ms:.3g} ms" if value_ms < 1000 else f"{value_ms:,.0f} ms"


def _percent(share: float) -> str:
    """Two digits, so that one in ten thousand does not become nothing."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.1f} %"
