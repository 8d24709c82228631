"""How many times as fast one version of the simulator is as another: both simulate the same by turns, on one machine.

Run with a checkout of each::

    python -m tests.benchmarks.two_versions ../before . --instances 1000 --queries 12000 --pairs 9
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.child_signals import heard_by_default

POLICIES = ("NoRedundancy", "Hedged", "Parity", "SharedParity", "Adaptive")

SIMULATES = """
import sys, time
import numpy as np
from parity_exp import policies
from parity_exp.disturbances import Exponential
from parity_exp.simulation import ServiceTimes, simulate
for line in sys.stdin:
    name, queries, instances = line.split()
    gaps_s = np.random.default_rng(0).exponential(0.02 / 0.6 / int(instances), int(queries))
    service = ServiceTimes({"base": Exponential(0.02), "parity-0": Exponential(0.02)})
    began = time.process_time()
    simulate(getattr(policies, name)(2, 1), np.cumsum(gaps_s), service, int(instances), slo_s=0.5)
    print(time.process_time() - began, flush=True)
"""
"""What a process of each version does: a line says what to simulate, and is answered by the seconds that took."""


class Version:
    """A process that simulates with the version of a checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", SIMULATES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=heard_by_default,
        )

    def seconds(self, policy: str, queries: int, instances: int) -> float:
        """Processor time of a simulation."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{policy} {queries} {instances}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("two_versions: a version has ended, for what stands above")
        return float(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--instances", type=int, default=1_000)
    parser.add_argument("--queries", type=int, default=12_000)
    parser.add_argument("--pairs", type=int, default=9, help="at least 2: of one there are no quartiles")
    given = parser.parse_args()
    if min(given.instances, given.queries) < 1 or given.pairs < 2:
        parser.error("--instances and --queries are at least 1, and --pairs at least 2")
    for checkout in (given.before, given.after):
        if not (checkout / "parity_exp").is_dir():
            parser.error(f"{checkout}: no checkout of parity_exp, which has a folder of that name")
    before, after = Version(given.before), Version(given.after)
    for policy in POLICIES:
        asked = (policy, given.queries, given.instances)
        ratios = [before.seconds(*asked) / after.seconds(*asked) for _ in range(given.pairs)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{policy:<14} {middle:.2f} times as fast, quartiles {low:.2f} and {high:.2f}")


if __name__ == "__main__":
    main()
