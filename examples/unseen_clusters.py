"""How near does a policy come to the best one on clusters that nobody tuned it for?

`python examples/unseen_clusters.py --points 24 --policy autopilot --out unseen.csv` draws clusters at random: their
size, code, load, service times, stragglers and number of frontends. On each it simulates one policy and the others,
and writes by how much its p99 and p99.9 are above the best other one's. Number n is the same cluster wherever it is
drawn, so that a run can be continued with `--first`. Point it at a policy of yours.
"""

import argparse
import random
from collections.abc import Callable
from functools import partial

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
from parity_exp.load import Bursts, Load, Poisson, Steps
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

SERVICE_S = 0.025
POLICIES: dict[str, type[Policy]] = {
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
CODES = [(2, 1), (3, 1), (4, 1), (2, 2)]
INSTANCES = [4, 8, 12, 24, 48, 96]
STRENGTHS = [0.4, 1.0, 2.5, 6.0]
UTILISATIONS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
TIMES = [Constant(1), ShiftedExponential(1, 0.05), Exponential(1), LogNormal(1, 0.5), Pareto(1, 2.5)]
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


def point(number: int, policy: str, queries: int) -> dict[str, object]:
    """One cluster, and how the policy does on it: a row of the table."""
    draw = random.Random(number)
    k, r = draw.choice(CODES)
    instances, strength = draw.choice(INSTANCES), draw.choice(STRENGTHS)
    utilisation, times, kind = draw.choice(UTILISATIONS), draw.choice(TIMES), draw.choice(KINDS)
    frontends = draw.choice([1, 1, 4]) if instances >= 8 else 1
    duration_s = queries * SERVICE_S / (instances * utilisation)
    arrivals, load = load_of(draw, queries, utilisation, duration_s)
    result = simulate(
        {name: partial(made, k, r)() for name, made in POLICIES.items()},
        load,
        straggler=straggler_of(kind, strength, instances, duration_s),
        instances=instances,
        k=k,
        r=r,
        service_time_ms=1000 * SERVICE_S,
        service_time=times,
        frontends=frontends,
        seed=number,
        show_progress=False,
    )
    row: dict[str, object] = {
        "point": number,
        "k": k,
        "r": r,
        "instances": instances,
        "frontends": frontends,
        "load": f"{arrivals} {utilisation:.0%}",
        "service_time": type(times).__name__,
        "stragglers": f"{kind} {strength:g}",
        "tasks_per_query": round(result.by_policy[policy]["tasks_per_query"], 2),
    }
    for percentile in ("p99", "p99.9"):
        latency = {name: values[f"latency_ms/{percentile}"] for name, values in result.by_policy.items()}
        own = latency.pop(policy)
        best = min(latency, key=latency.__getitem__)
        row |= {f"best at {percentile}": best, f"{percentile} ms": round(own, 1)}
        row[f"{percentile} over the best"] = round(own / latency[best], 3)
    return row


def main() -> None:
    """Draw the clusters that the command line asks for, and print a line for each and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=3, help="so many clusters")
    parser.add_argument("--first", type=int, default=0, help="the first one's number")
    parser.add_argument("--queries", type=int, default=3_000, help="on each; p99.9 of fewer than 20,000 says little")
    parser.add_argument("--policy", choices=POLICIES, default="autopilot", help="compared with all others")
    parser.add_argument("--out", help="a CSV file for the table, written after every point")
    arguments = parser.parse_args()
    rows = []
    for number in range(arguments.first, arguments.first + arguments.points):
        rows.append(point(number, arguments.policy, arguments.queries))
        if arguments.out:
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    table = pd.DataFrame(rows)
    for percentile in ("p99", "p99.9"):
        ratios = table[f"{percentile} over the best"]
        near, tolerable = (ratios <= 1.05).sum(), (ratios <= 1.15).sum()
        print(
            f"{percentile}: within 5 % of the best other policy, or better, at {near} of {len(ratios)} points, "
            f"within 15 % at {tolerable}; median {ratios.median():.2f}, most {ratios.max():.2f}"
        )


if __name__ == "__main__":
    main()
