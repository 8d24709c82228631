"""A picture of several servers under the same load."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from parity_exp.analysis.figures.axes import ms
from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.latency import drawn_steps
from parity_exp.analysis.figures.panels import Plate, finish, grid, left_labels, milliseconds, panels
from parity_exp.analysis.runs.servers import Played
from parity_exp.recordings.measures import percentiles

LINES = ("-", "--", "-.", ":")
"""Of servers in turn, for eyes and printers that colours do not tell apart."""


def server_tails(runs: Sequence[Played], palette: Palette = PLAIN) -> Plate | None:
    """The share of queries that took longer than x, a line a run, a panel a load; lost queries are never over.

    None where no load was played against two servers.
    """
    table = pd.DataFrame(
        [(one.load, one.server, place) for place, one in enumerate(runs) if len(one.latencies_ms)],
        columns=["load", "server", "place"],
    )
    shown, left_out = panels(table, ["load"], lambda rows: rows["server"].nunique() > 1)
    if not shown:
        return None
    servers = sorted({str(server) for _, rows in shown for server in rows["server"]})
    colours = palette.policies(servers)
    lines = {server: LINES[place % len(LINES)] for place, server in enumerate(servers)}
    figure, axes = grid(len(shown))
    for axis, (title, rows) in zip(axes, shown, strict=False):
        most = 0
        for place in rows["place"]:
            one = runs[place]
            count = len(one.latencies_ms)
            asked = count + one.lost
            most = max(most, asked)
            drawn = drawn_steps(count)
            longer = (asked - np.arange(count)) / asked
            label = f"{one.server}: p99.9 {ms(percentiles(one.latencies_ms)['p99.9'])}"
            if one.lost:
                label += f", {one.lost:,} lost"
            axis.plot(
                one.latencies_ms[drawn], longer[drawn], drawstyle="steps-pre", color=colours[one.server],
                ls=lines[one.server], lw=1.6, label=label,
            )  # fmt: skip
        axis.set(xscale="log", yscale="log", ylim=(0.7 / most, 1.3), xlabel="latency from the scheduled arrival, ms")
        axis.set_title(title)
        for name, share in (("p50", 0.5), ("p99", 0.01), ("p99.9", 0.001)):
            if share > 1 / most:
                axis.axhline(share, color="#888888", lw=0.7, ls=":", zorder=0)
                axis.annotate(
                    name, (1, share), (3, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=7
                )
        milliseconds(axis, "x")
        axis.legend(frameon=False, loc="lower left", fontsize=7)
        finish(axis)
    left_labels(axes, "share of queries that took longer")
    return Plate(figure, left_out)
