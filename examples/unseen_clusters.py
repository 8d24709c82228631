"""How near does a policy come to the best one on clusters that nobody tuned it for?

`python examples/unseen_clusters.py --points 24 --policy autopilot --out unseen.csv` draws clusters at random: their
size, code, load, service times, stragglers and number of frontends. On each it simulates one policy and the others,
and writes by how much its p99 and p99.9 are above the best other one's. Number n is the same cluster wherever it is
drawn, so that a run can be continued with `--first`. Point it at a policy of yours.

So it does for each of the others, beside the best of them.

Whoever is best of eight in one run has been lucky as well. With `--seeds 3` each cluster is simulated three times, with
other arrivals, stragglers and service times, and the best other policy is the one that is best over the three together.
Each run alone is told beside that: what the policy comes to over the luckiest of the run, and what the one that is best
over all does, which is as much as a policy can promise. What comes after the first ten seconds is also looked at alone,
since a policy that learns has learnt by then what it can.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, islice
from math import nan
from typing import Any

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
    Phases,
    ShiftedExponential,
    Shuffle,
    Slowdown,
    Straggler,
)
from parity_exp.load import Bursts, ClosedLoop, Load, Poisson, Steps
from parity_exp.policies import (
    Adaptive,
    Autopilot,
    Duplicates,
    EqualResources,
    Hedged,
    Laedge,
    Parity,
    Reissue,
    SharedParity,
)
from parity_exp.policies.policy import Policy
from parity_exp.recordings.measures import percentiles

SERVICE_S = 0.025
Policies = Mapping[str, Callable[[int, int], Policy]]
"""By name: how to make them for a code of k and r."""

POLICIES: Policies = {
    "equal_resources": EqualResources,
    "hedged": Hedged,
    "reissue": Reissue,
    "laedge": Laedge,
    "duplicates": Duplicates,
    "parity": Parity,
    "shared_parity": SharedParity,
    "adaptive": Adaptive,
    "autopilot": Autopilot,
}
PARTS: Policies = {
    "autopilot_without_experience": partial(Autopilot, experienced=False),
    "autopilot_without_replays": partial(Autopilot, plays=False),
    "autopilot_without_telling": partial(Autopilot, tells=False),
}
"""What may be looked at in autopilot's place."""

CODES = [(2, 1), (3, 1), (4, 1), (2, 2)]
INSTANCES = [4, 8, 12, 24, 48, 96]
STRENGTHS = [0.4, 1.0, 2.5, 6.0]
UTILISATIONS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
TIMES = [Constant(1), ShiftedExponential(1, 0.05), Exponential(1), LogNormal(1, 0.5), Pareto(1, 2.5)]
PERCENTILES = ["p99", "p99.9"]
APART = 1_000_000
"""Between the seeds of a cluster's runs."""

NOT_LUCKY = "who is best over all"
KINDS = ["shuffle", "slowdown", "degraded", "crash", "neighbour", "changing"]


def straggler_of(kind: str, strength: float, instances: int, duration_s: float) -> Straggler:
    """What makes tasks late, by so many service times where that can be set; "changing" changes its kind half-way."""
    slowdown = Slowdown(0.02, Exponential(strength))
    half_s = duration_s / 2
    late = Degraded(1 + strength / 2)
    parts = {"early": {"end_s": half_s, "slowdown": slowdown}, "late": {"start_s": half_s, "degraded": late}}
    made = {
        "shuffle": Shuffle(mean_extra=strength),
        "slowdown": slowdown,
        "degraded": Degraded(1 + strength / 2, count=max(1, instances // 24)),
        "crash": Crash(rate_per_s=instances / 12),
        "neighbour": Neighbour(1 + strength / 2, fraction=0.5, duty=0.025),
        "changing": Phases(parts),
    }
    return made[kind]


def closed_loop(draw: random.Random, queries: int, utilisation: float, instances: int) -> tuple[str, Load]:
    """Clients who wait for their answers, and then perhaps think for as long as a task takes; some are too many."""
    think_ms, times = draw.choice([0, 0, 1000 * SERVICE_S]), draw.choice([1, 1, 2.5])
    clients = max(1, round(times * utilisation * instances * (1 + think_ms / 1000 / SERVICE_S)))
    name = f"{clients} clients" + (" who think" if think_ms else "")
    return name, ClosedLoop(queries, queries // 20, clients=clients, think_ms=think_ms)


def load_of(draw: random.Random, queries: int, utilisation: float, duration_s: float) -> tuple[str, Load]:
    """Arrivals that are steady, that come in bursts, or whose rate doubles and halves."""
    warmup = queries // 20
    kinds: dict[str, Callable[[], Load]] = {
        "steady": lambda: Poisson(queries, warmup, utilisation=utilisation),
        "bursts": lambda: Bursts(queries, warmup, utilisation=utilisation),
        "doubling": lambda: Steps(
            [[duration_s / 3, utilisation / 2], [duration_s / 3, utilisation]], queries, warmup, unit="utilisation"
        ),
    }
    name = draw.choice(["steady", *kinds])
    return name, kinds[name]()


Latencies = dict[str, pd.DataFrame]
"""Of each policy, of the queries of a run: when each came, in seconds, and what it took, in milliseconds."""


def cluster(number: int, queries: int, closed: bool = False) -> tuple[dict[str, object], dict[str, Any]]:
    """What the cluster of a number is, and what `simulate` is to be told of it.

    Args:
        number: of the cluster.
        queries: in a run.
        closed: whether clients wait for their answers.
    """
    draw = random.Random(number)
    k, r = draw.choice(CODES)
    instances, strength = draw.choice(INSTANCES), draw.choice(STRENGTHS)
    utilisation, times, kind = draw.choice(UTILISATIONS), draw.choice(TIMES), draw.choice(KINDS)
    frontends = draw.choice([1, 1, 4]) if instances >= 8 else 1
    duration_s = queries * SERVICE_S / (instances * utilisation)
    if closed:
        arrivals, load = closed_loop(draw, queries, utilisation, instances)
    else:
        arrivals, load = load_of(draw, queries, utilisation, duration_s)
    what: dict[str, object] = {
        "point": number,
        "k": k,
        "r": r,
        "instances": instances,
        "frontends": frontends,
        "load": f"{arrivals} {utilisation:.0%}",
        "service_time": type(times).__name__,
        "stragglers": f"{kind} {strength:g}",
    }
    return what, {
        "load": load,
        "straggler": straggler_of(kind, strength, instances, duration_s),
        "instances": instances,
        "k": k,
        "r": r,
        "service_time_ms": 1000 * SERVICE_S,
        "service_time": times,
        "frontends": frontends,
    }


def run(
    number: int, turn: int, queries: int, policies: Policies, closed: bool = False
) -> tuple[dict[str, object], Latencies]:
    """One cluster, served once by each policy.

    Args:
        number: of the cluster.
        turn: with the first one the seed is the number; another one has other arrivals, stragglers and service times.
        queries: in the run.
        policies: that serve it.
        closed: whether clients wait for their answers.

    Returns:
        what the cluster is, and what became of its queries.
    """
    what, settings = cluster(number, queries, closed)
    made = {name: make(settings["k"], settings["r"]) for name, make in policies.items()}
    result = simulate(made, **settings, seed=number + turn * APART, show_progress=False)
    return what, {name: one.queries[["scheduled_s", "latency_ms"]] for name, one in result.recorded.items()}


def at(percentile: str, runs: list[Latencies], since_s: float = 0.0) -> dict[str, float]:
    """The percentile of each policy's latency over some runs together, of what came after a time; NaN for nothing."""
    found = {}
    for name in runs[0]:
        late = [one[name]["latency_ms"][one[name]["scheduled_s"] >= since_s] for one in runs]
        together = np.concatenate(late)
        found[name] = percentiles(together)[percentile] if len(together) else nan
    return found


def over_the_best(latency_ms: dict[str, float], policy: str) -> tuple[float, str]:
    """A policy's latency over the least that another one has, and whose that is."""
    others = {name: value for name, value in latency_ms.items() if name != policy}
    best = min(others, key=others.__getitem__)
    return latency_ms[policy] / others[best], best


def row_of(cluster: dict[str, object], runs: list[Latencies], policy: str, since_s: float) -> dict[str, object]:
    """How a policy does on a cluster: a row of the table."""
    row = dict(cluster)
    compromise = dict.fromkeys(runs[0], 0.0)
    for percentile in PERCENTILES:
        together, later = at(percentile, runs), at(percentile, runs, since_s)
        ratio, best = over_the_best(together, policy)
        row |= {f"best at {percentile}": best, f"{percentile} ms": round(together[policy], 1)}
        row[f"{percentile} over the best"] = round(ratio, 3)
        row[f"{percentile} later over the best"] = round(over_the_best(later, policy)[0], 3)
        for name in together:
            compromise[name] = max(compromise[name], together[name] / together[best])
            if name != policy:
                row[f"{percentile} of {name} over the best"] = round(together[name] / together[best], 3)
        if len(runs) > 1:
            for turn, one in enumerate(runs, 1):
                alone = at(percentile, [one])
                row[f"{percentile} over the best of run {turn}"] = round(over_the_best(alone, policy)[0], 3)
                least = min(value for name, value in alone.items() if name != policy)
                row[f"{percentile} of {NOT_LUCKY} over the best of run {turn}"] = round(alone[best] / least, 3)
    row["one other policy over the best at both"] = round(
        min(value for name, value in compromise.items() if name != policy), 3
    )
    return row


def summary(table: pd.DataFrame, percentile: str, what: str, columns: list[str]) -> str:
    """How often the ratios of some columns are small, in a line."""
    ratios = table[columns].stack().dropna()
    if not len(ratios):
        return f"{percentile}{what}: nothing"
    near, tolerable = (ratios <= 1.05).sum(), (ratios <= 1.15).sum()
    return (
        f"{percentile}{what}: within 5 % of the best other policy, or better, at {near} of {len(ratios)} points, "
        f"within 15 % at {tolerable}; median {ratios.median():.2f}, most {ratios.max():.2f}"
    )


def numbers_of(first: int, frontends: int | None) -> Iterator[int]:
    """Numbers from the first one on, of clusters with so many frontends; None: of all."""
    return (number for number in count(first) if frontends in (None, cluster(number, 1)[0]["frontends"]))


def main() -> None:
    """Draw the clusters that the command line asks for, and print a line for each and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=3, help="so many clusters")
    parser.add_argument("--first", type=int, default=0, help="the first one's number")
    parser.add_argument("--queries", type=int, default=3_000, help="on each; p99.9 of fewer than 20,000 says little")
    parser.add_argument("--policy", choices={**POLICIES, **PARTS}, default="autopilot", help="compared with all others")
    parser.add_argument("--out", help="a CSV file for the table, written after every point")
    parser.add_argument("--seeds", type=int, default=1, help="so many runs on each")
    parser.add_argument("--closed", action="store_true", help="clients wait for their answers before they ask again")
    parser.add_argument(
        "--frontends", type=int, choices=(1, 4), help="only clusters with so many; others are passed over"
    )
    parser.add_argument("--later", type=float, default=10.0, help="what comes after so many seconds is looked at alone")
    arguments = parser.parse_args()
    policies = POLICIES
    if arguments.policy in PARTS:
        others = {name: made for name, made in POLICIES.items() if name != "autopilot"}
        policies = {**others, arguments.policy: PARTS[arguments.policy]}
    rows = []
    for number in islice(numbers_of(arguments.first, arguments.frontends), arguments.points):
        made = [run(number, turn, arguments.queries, policies, arguments.closed) for turn in range(arguments.seeds)]
        rows.append(row_of(made[0][0], [latencies for _, latencies in made], arguments.policy, arguments.later))
        if arguments.out:
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
        told = {name: value for name, value in rows[-1].items() if " of " not in name}
        print(" ".join(f"{name}={value}" for name, value in told.items()), flush=True)
    table = pd.DataFrame(rows)
    both = table["one other policy over the best at both"]
    print(f"one other policy is within 5 % at both percentiles at {(both <= 1.05).sum()} of {len(both)} points")
    for percentile in PERCENTILES:
        for name in policies:
            if name != arguments.policy:
                print(summary(table, percentile, f" of {name}", [f"{percentile} of {name} over the best"]))
    for percentile in PERCENTILES:
        if arguments.seeds > 1:
            own = [name for name in table if name.startswith(f"{percentile} over the best of run")]
            fixed = [name for name in table if name.startswith(f"{percentile} of {NOT_LUCKY}")]
            print(summary(table, percentile, " of each run alone", own))
            print(summary(table, percentile, f" of each run alone, {NOT_LUCKY}", fixed))
        print(summary(table, percentile, f" after {arguments.later:g} s", [f"{percentile} later over the best"]))
    for percentile in PERCENTILES:
        print(summary(table, percentile, "", [f"{percentile} over the best"]))


if __name__ == "__main__":
    main()
