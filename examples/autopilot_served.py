"""Does `autopilot` keep on real instances what simulations promise? Six clusters, each served and simulated.

`python examples/autopilot_served.py --out served` serves each of six clusters under `autopilot` and under six other
policies, on instances that are processes of this machine, and simulates the same: the same arrivals and the same
stragglers for all. Tasks sleep for most of their time, so that a small network behaves like a large one and some 20
instances need one core. A table says what p99 and p99.9 each policy came to, served and simulated, over all queries but
the first twentieth, and over what came after ten seconds, when `autopilot` has learnt; then by how much `autopilot` is
above the best other policy of the run.

The clusters were written down before any of them was served. `--jobs` policies run side by side, each on a cluster of
its own: a quiet core for two of them is enough (four frontends want one each), and with less the machine is measured
instead of the policies. One that fails leaves the others alone.

What was served on one machine can be simulated on another: `--what served` writes `latencies-served.parquet`, and
`--what simulated` with the same `--seconds` and `--out` sets the simulations beside it.

Try it with `--only 0 --seconds 5 --jobs 1`.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from parity_exp import serve, simulate
from parity_exp.coding import AdditionEncoder, Chebyshev, Code, SubtractionDecoder
from parity_exp.disturbances import (
    Crash,
    Degraded,
    Exponential,
    Neighbour,
    Phases,
    Shuffle,
    Slowdown,
    Straggler,
)
from parity_exp.load import Load, Poisson, Steps
from parity_exp.policies import (
    Adaptive,
    Autopilot,
    Duplicates,
    EqualResources,
    Hedged,
    Parity,
    SharedParity,
)
from parity_exp.policies.policy import Policy
from parity_exp.recordings.measures import percentiles
from parity_exp.serving.pools import LocalPool

POLICIES: dict[str, type[Policy]] = {
    "autopilot": Autopilot,
    "equal_resources": EqualResources,
    "parity": Parity,
    "duplicates": Duplicates,
    "hedged": Hedged,
    "shared_parity": SharedParity,
    "adaptive": Adaptive,
}
JUDGED = "autopilot"
PERCENTILES = ["p99", "p99.9"]
KINDS = ["served", "simulated"]
SHAPE, CLASSES = (1, 8, 8), 10
WARMUP = 20
"""A run has one query for so many before what is measured."""

END_S = 10.0
"""How long a process may take to end its instances."""


@dataclass(frozen=True)
class Point:
    """A cluster, and what happens to it.

    Attributes:
        instances: m, base instances; every policy has m r / k more.
        k: queries in a coding group.
        r: parity queries of a group.
        frontends: how many there are.
        service_ms: how long a task takes.
        load: ``steady``, or ``doubling`` for the middle third of the run.
        utilisation: of the base instances; of ``doubling`` at its height.
        straggler: what makes tasks late; ``changing`` changes its kind half-way.
        strength: how late, in service times, where that can be set.
    """

    instances: int
    k: int
    r: int
    frontends: int
    service_ms: float
    load: str
    utilisation: float
    straggler: str
    strength: float

    def __str__(self) -> str:
        more = -(-self.instances * self.r // self.k)
        return (
            f"{self.instances} + {more}, k={self.k} r={self.r}, {self.frontends} frontend(s), {self.service_ms:g} ms, "
            f"{self.load} {self.utilisation:.0%}, {self.straggler} {self.strength:g}"
        )

    @property
    def full_qps(self) -> float:
        """Arrivals a second at the load's height."""
        return self.utilisation * self.instances / self.service_ms * 1e3

    def load_for(self, seconds: float) -> Load:
        """Arrivals for so many seconds. Rates are those of the slept time, so that both kinds of runs have the same."""
        third_s = seconds / 3
        phases = [[third_s, self.full_qps / 2], [third_s, self.full_qps], [third_s, self.full_qps / 2]]
        if self.load == "steady":
            phases = [[seconds, self.full_qps]]
        total = max(WARMUP, round(sum(duration_s * rate for duration_s, rate in phases)))
        warmup = total // WARMUP
        if self.load == "steady":
            return Poisson(total - warmup, warmup, rate_qps=self.full_qps)
        return Steps(phases, total - warmup, warmup)

    def straggler_for(self, seconds: float) -> Straggler:
        """What makes tasks late, in units of the slept time, for the same reason."""
        slots: dict[str, Any] = {"unit_ms": self.service_ms, "slot_ms": self.service_ms / 4}
        slowdown = Slowdown(0.02, Exponential(self.strength), **slots)
        degraded = Degraded(1 + self.strength / 2)
        parts = {
            "early": {"end_s": seconds / 2, "slowdown": slowdown},
            "late": {"start_s": seconds / 2, "degraded": degraded},
        }
        made = {
            "shuffle": Shuffle(mean_extra=self.strength, **slots),
            "slowdown": slowdown,
            "degraded": degraded,
            "crash": Crash(rate_per_s=self.instances / 12),
            "neighbour": Neighbour(1 + self.strength / 2, fraction=0.5, duty=0.025),
            "changing": Phases(parts),
        }
        return made[self.straggler]


def networks(point: Point) -> dict[str, Any]:
    """What is served: networks that know nothing, for nobody asks whether answers are right, only when they come."""
    torch.manual_seed(0)
    generator = Chebyshev().matrix(point.k, point.r)
    encoder = AdditionEncoder(point.k, point.r, SHAPE, generator)
    decoder = SubtractionDecoder(point.k, point.r, (CLASSES,), generator)
    several = [nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)) for _ in range(1 + point.r)]
    return {
        "models": several[0],
        "queries": torch.randn(200, *SHAPE),
        "code": Code(encoder, decoder),
        "parity_models": several[1:],
        "pool": LocalPool(devices="cpu", service_time_ms=point.service_ms),
    }


POINTS = [
    Point(4, 2, 1, 1, 25, "steady", 0.6, "shuffle", 2.5),
    Point(16, 4, 1, 4, 25, "steady", 0.85, "slowdown", 1),
    Point(16, 2, 1, 1, 50, "steady", 0.3, "crash", 0.4),
    Point(12, 3, 1, 1, 25, "doubling", 0.6, "degraded", 6),
    Point(12, 2, 1, 1, 25, "steady", 0.7, "changing", 2.5),
    Point(8, 2, 2, 4, 40, "doubling", 0.7, "neighbour", 6),
]


@dataclass(frozen=True)
class Job:
    """What one process does: a policy of a point, served or simulated."""

    number: int
    policy: str
    kind: str
    seconds: float
    out: Path

    def __str__(self) -> str:
        return f"point {self.number}, {self.policy}, {self.kind}"

    @property
    def file(self) -> Path:
        """A row an answered query, once the job has been done."""
        return self.out / f"{self.kind}-{self.number}-{self.policy}.parquet"

    def run(self) -> None:
        """Do it, and write the file."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        torch.set_num_threads(1)
        point = POINTS[self.number]
        common: dict[str, Any] = {
            "policies": {self.policy: POLICIES[self.policy](point.k, point.r)},
            "load": point.load_for(self.seconds),
            "straggler": point.straggler_for(self.seconds),
            "instances": point.instances,
            "frontends": point.frontends,
            "seed": self.number,
            "show_progress": False,
        }
        try:
            if self.kind == "simulated":
                result = simulate(service_time_ms=point.service_ms, **common)
            else:
                result = serve(**networks(point), **common)
        except KeyboardInterrupt:
            sys.exit(130)
        latencies = result.queries[["query", "scheduled_s", "latency_ms"]]
        latencies.assign(point=self.number, policy=self.policy, seconds=self.seconds).to_parquet(self.file)


def run_all(jobs: Sequence[Job], at_once: int, limit_s: float) -> list[str]:
    """Run so many jobs at once, each in a process; return what failed. No process is left, however this ends."""
    ends_s = time.monotonic() + limit_s
    waiting, running, failed = list(jobs), dict[ForkProcess, Job](), list[str]()
    try:
        while (waiting or running) and time.monotonic() < ends_s:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                process = get_context("fork").Process(target=job.run)
                process.start()
                running[process] = job
            connection.wait([process.sentinel for process in running], ends_s - time.monotonic())
            for process in [one for one in running if one.exitcode is not None]:
                job = running.pop(process)
                print(f"{job}: {'done' if process.exitcode == 0 else 'failed'}", flush=True)
                if process.exitcode:
                    failed.append(str(job))
        return failed + [f"{job}, which the limit cut off" for job in [*running.values(), *waiting]]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(END_S)
            process.kill()


def measured(latencies: pd.DataFrame, later_s: float) -> pd.DataFrame:
    """A row a point and policy: percentiles, of all queries and of what came after a time, and how many were lost."""
    rows = []
    for (number, policy), own in latencies.groupby(["point", "policy"], sort=False):
        planned = POINTS[number].load_for(own["seconds"].iloc[0]).queries
        row = {"point": number, "policy": policy, "lost": planned - len(own)}
        for words, since_s in (("", 0.0), (" later", later_s)):
            latency_ms = own["latency_ms"][own["scheduled_s"] >= since_s].to_numpy()
            found = percentiles(latency_ms) if len(latency_ms) else {}
            row |= {f"{percentile}{words}": found.get(percentile, float("nan")) for percentile in PERCENTILES}
        rows.append(row)
    return pd.DataFrame(rows).set_index(["point", "policy"])


def over_the_best(table: pd.DataFrame, column: str) -> str:
    """By how much the judged policy is above the best other one."""
    there = table[column].dropna()
    others = there.drop(JUDGED, errors="ignore")
    if JUDGED not in there or others.empty:
        return "-"
    return f"{there[JUDGED] / others.min():.2f} ({others.idxmin()})"


def told(out: Path, later_s: float) -> None:
    """Print what the files say that are there, and write the table."""
    files = {kind: out / f"latencies-{kind}.parquet" for kind in KINDS}
    by_kind = {kind: measured(pd.read_parquet(file), later_s) for kind, file in files.items() if file.exists()}
    if not by_kind:
        print("nothing was measured")
        return
    together = pd.concat(by_kind, axis="columns")
    together.columns = [f"{kind} {column}" for kind, column in together.columns]
    together.round(2).to_csv(out / "table.csv")
    shown = [
        f"{kind} {percentile}{words}" for kind in by_kind for words in ("", " later") for percentile in PERCENTILES
    ]
    shown += [f"{kind} lost" for kind in by_kind]
    for number, own in together.groupby(level="point"):
        print(f"\npoint {number}: {POINTS[number]}\n{own.loc[number][shown].round(1).to_string()}")
    print(f"\n{JUDGED} over the best other policy of the run; later: what came after {later_s:g} s")
    for number in together.index.unique("point"):
        for kind, table in by_kind.items():
            if number in table.index:
                ratios = [
                    f"{percentile}{words} {over_the_best(table.loc[number], percentile + words)}"
                    for words in ("", " later")
                    for percentile in PERCENTILES
                ]
                print(f"point {number} {kind}: {', '.join(ratios)}")


def main() -> None:
    """Serve and simulate what the command line asks for, and tell of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", choices=range(len(POINTS)), help="these points; all")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--what", nargs="*", choices=KINDS, default=KINDS, help="nothing: tell of what is there")
    parser.add_argument("--seconds", type=float, default=50.0, help="of arrivals, for each policy of a point")
    parser.add_argument("--queries", type=int, help="as many seconds as this many queries take, instead")
    parser.add_argument("--jobs", type=int, default=4, help="policies at once, each on a cluster of its own")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which all is ended")
    parser.add_argument("--later", type=float, default=10.0, help="what comes after so many seconds is looked at alone")
    parser.add_argument("--out", type=Path, default=Path("autopilot-served"), help="folder of all files")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs = []
    for kind in arguments.what:
        for number in arguments.only or range(len(POINTS)):
            seconds = arguments.seconds
            if arguments.queries:
                seconds *= arguments.queries / POINTS[number].load_for(seconds).total
            jobs += [Job(number, policy, kind, seconds, arguments.out) for policy in arguments.policies]
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    try:
        failed = run_all(jobs, arguments.jobs, arguments.limit)
    except KeyboardInterrupt:
        failed = ["interrupted"]
    for kind in arguments.what:
        done = [pd.read_parquet(job.file) for job in jobs if job.kind == kind and job.file.exists()]
        if done:
            pd.concat(done, ignore_index=True).to_parquet(arguments.out / f"latencies-{kind}.parquet")
    told(arguments.out, arguments.later)
    if failed:
        sys.exit("\n".join(f"failed: {one}" for one in failed))


if __name__ == "__main__":
    main()
