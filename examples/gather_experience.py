"""Simulate clusters on which `autopilot` learns what to expect of its ways to go.

`python examples/gather_experience.py --clusters 600 --out experience.csv.gz` draws clusters at random, has each of the
ways serve the same queries on each, and writes what a policy could know of the cluster after so many arrivals, and what
each way came to. The table that comes with the package, `parity_exp/policies/estimates/experience.csv.gz`, was made so;
make it anew when ways or traits have changed, or with clusters that are more like yours. Cluster n is the same wherever
it is drawn; from number 690 on all have four frontends, of which most is to be known.
"""

import argparse
import random
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from math import exp, log
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from parity_exp import simulate
from parity_exp.disturbances import (
    Constant,
    Crash,
    Degraded,
    Exponential,
    LogNormal,
    Neighbour,
    Pareto,
    ShiftedExponential,
    Shuffle,
    Slowdown,
    Straggler,
)
from parity_exp.load import Bursts, Load, Poisson
from parity_exp.policies import Autopilot
from parity_exp.policies.autopilot import ways_of
from parity_exp.policies.estimates.experience import expected_of, row_of
from parity_exp.policies.estimates.traits import TRAITS, traits_of
from parity_exp.policies.policy import Actions
from parity_exp.policies.replay import Replayed

AFTER = (100, 400, 2_000)
"""Arrivals at all frontends together, after which it is noted what could be known."""

FOUR_FRONTENDS_FROM = 690
"""From this number on clusters have four frontends: what pays there differs more, and more is needed of it."""

CODES = [(2, 1), (3, 1), (4, 1), (2, 2)]
SEED = 77_000_000
"""Added to a cluster's number, so that nobody else's runs have the same arrivals."""


class Watched(Autopilot):
    """Goes one way all the time; its first frontend notes what it could know, and the others tell it."""

    notes: ClassVar[list[np.ndarray]] = []
    watched: ClassVar[list[Autopilot]] = []

    def __init__(self, k: int, r: int, way: str, settings: Mapping[str, Any]) -> None:
        super().__init__(k, r, ways={way: settings})

    def start(self, actions: Actions) -> None:
        super().start(actions)
        if not self.watched:
            self.watched.append(self)

    def _look_around(self, now_s: float) -> None:
        if self.watched[0] is not self or len(self.notes) == len(AFTER):
            return
        self.memory.changed()
        self.memory.drifted()
        if self.memory.arrivals * self.memory.stands_for >= AFTER[len(self.notes)]:
            try:
                self.notes.append(traits_of(self.memory.seen(), self.k, self.r))
            except ValueError:
                self.notes.append(np.full(len(TRAITS), np.nan))


def between(draw: random.Random, low: float, high: float) -> float:
    """A number between two, of which each doubling is as likely."""
    return exp(draw.uniform(log(low), log(high)))


def straggler_of(draw: random.Random, instances: int) -> tuple[str, Straggler]:
    """What makes tasks late, if anything does."""
    strength = between(draw, 0.3, 8)
    kinds: dict[str, Straggler] = {
        "shuffle": Shuffle(mean_extra=strength),
        "slowdown": Slowdown(between(draw, 0.004, 0.06), Exponential(strength)),
        "degraded": Degraded(1 + strength / 2, count=draw.randint(1, max(1, instances // 16))),
        "crash": Crash(rate_per_s=instances * between(draw, 0.03, 0.2)),
        "neighbour": Neighbour(1 + strength / 2, fraction=draw.uniform(0.2, 0.8), duty=between(draw, 0.01, 0.1)),
        "none": Slowdown(0.0, Exponential(1)),
    }
    kind = draw.choice([one for one in kinds if one != "none"] * 3 + ["none"])
    return kind, kinds[kind]


def cluster(number: int) -> list[dict[str, object]]:
    """The rows of one cluster: one for each time at which it was noted what could be known."""
    draw = random.Random(f"experience-{number}")
    k, r = draw.choice(CODES)
    has_four = number >= FOUR_FRONTENDS_FROM
    instances = round(between(draw, 8 if has_four else 4, 100))
    utilisation = draw.uniform(0.25, 0.95)
    times = draw.choice(
        [
            Constant(1),
            ShiftedExponential(1, draw.uniform(0.02, 0.3)),
            Exponential(1),
            LogNormal(1, draw.uniform(0.1, 0.8)),
            Pareto(1, draw.uniform(2.1, 4)),
        ]
    )
    kind, straggler = straggler_of(draw, instances)
    several = [4] if has_four else [1, 1, 2, 4]
    frontends = draw.choice(several) if instances >= 8 else 1
    ways = ways_of(frontends)
    queries = 16_000 if instances >= 40 else 9_000
    warmup = queries // 20
    loads: list[Load] = [Poisson(queries, warmup, utilisation=utilisation)] * 2
    on_s, off_s = between(draw, 0.3, 3), between(draw, 0.3, 3)
    loads.append(Bursts(queries, warmup, utilisation=utilisation, on_s=on_s, off_s=off_s))
    load = draw.choice(loads)
    service_time_ms = between(draw, 8, 80)
    noted = draw.choice(list(ways))
    rows: list[np.ndarray] = []
    made: dict[str, Replayed] = {}
    for way, settings in ways.items():
        Watched.notes, Watched.watched = [], []
        result = simulate(
            {way: Watched(k, r, way, settings)}, load, straggler=straggler, instances=instances, k=k, r=r,
            service_time_ms=service_time_ms, service_time=times, frontends=frontends, seed=number + SEED,
            show_progress=False,
        )  # fmt: skip
        queries_of_run = result.recorded[way].queries
        latencies_s = np.sort(np.nan_to_num(queries_of_run["latency_ms"] / 1e3, nan=np.inf))
        reconstructed = (queries_of_run["source"] == "reconstructed").mean()
        tasks = len(result.recorded[way].tasks) / (queries + warmup)
        made[way] = Replayed(latencies_s, float(tasks), float(reconstructed))
        if way == noted:
            rows = Watched.notes
    what = {"cluster": number, "kind": kind, "load": type(load).__name__, "noted": noted}
    told = expected_of(made, queries)
    return [
        {**what, "after": after, **row_of(traits, told)}
        for after, traits in zip(AFTER, rows, strict=False)
        if np.isfinite(traits).all()
    ]


def main() -> None:
    """Simulate the clusters that the command line asks for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=4, help="so many")
    parser.add_argument("--first", type=int, default=0, help="the first one's number")
    parser.add_argument("--jobs", type=int, default=1, help="so many at a time")
    parser.add_argument("--out", default="experience.csv.gz", help="the table")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(arguments.jobs) as processes:
        numbers = range(arguments.first, arguments.first + arguments.clusters)
        for done, of_one in enumerate(processes.map(cluster, numbers), 1):
            rows += of_one
            if done % 20 == 0 or done == len(numbers):
                print(f"{done} clusters", flush=True)
                pd.DataFrame(rows).to_csv(
                    arguments.out, index=False, float_format="%.4g", compression={"method": "gzip", "mtime": 0}
                )


if __name__ == "__main__":
    main()
