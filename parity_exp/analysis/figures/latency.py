"""How late answers were, under which policy and when."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from parity_exp.analysis.figures.axes import ALARM, QueriesByPolicy, clean, milliseconds, ms, slo_line
from parity_exp.analysis.figures.colours import policy_colours
from parity_exp.recordings.looks import Looks
from parity_exp.recordings.measures import percentiles

STEPS, DOTS = 4_000, 40_000
"""Of more than so many steps of a curve, and dots, a picture shows the ones that matter."""


def latency_ccdf(queries: QueriesByPolicy, slo_ms: float | None = None, looks: Looks | None = None) -> Figure:
    """The share of queries that took longer than x, of every policy; both axes are logarithmic."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axis = figure.subplots()
    most = max(len(table) for table in queries.values())
    for policy, colour in policy_colours(queries, looks).items():
        latency_ms = np.sort(queries[policy]["latency_ms"].to_numpy())
        longer = 1 - np.arange(len(latency_ms)) / len(latency_ms)
        at = percentiles(latency_ms)
        label = f"{policy}  (p99.9 {ms(at['p99.9'])})"
        drawn = drawn_steps(len(latency_ms))
        axis.plot(latency_ms[drawn], longer[drawn], drawstyle="steps-pre", color=colour, lw=1.8, label=label)
    axis.set(xscale="log", yscale="log", ylim=(0.7 / most, 1.15), title="Latency: share of queries that took longer")
    axis.set(xlabel="latency from the scheduled arrival, ms", ylabel="share of queries that took longer")
    for name, share in (("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99.9", 0.001)):
        if share > 1 / most:
            axis.axhline(share, color="#888888", lw=0.7, ls=":", zorder=0)
            axis.annotate(name, (1, share), (4, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8)
    slo_line(axis, slo_ms, "top")
    milliseconds(axis.xaxis)
    axis.legend(frameon=False, loc="upper right")  # where no curve comes: of the latest queries there are few
    clean(axis)
    axis.grid(axis="x", alpha=0.25)
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
        milliseconds(axis.yaxis)
        clean(axis)
    axes[0].legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    axes[-1].set_xlabel("scheduled arrival, s from the beginning of the run")
    return figure


def drawn_steps(count: int) -> NDArray[np.int64]:
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
