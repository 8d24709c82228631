"""Latencies that were served against a queueing calculation that shares nothing with the harness."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Run, Trained, run_dirs

SERVICE_S = 0.02
INSTANCES = 3

Duration = Callable[[int, float], float]
"""How long a query takes on a server when it begins at a time."""


def fifo(arrivals_s: np.ndarray, duration_s: Duration) -> np.ndarray:
    """Latencies in ms of one queue before several servers, each query to the one that has been free for longest."""
    free_s = [-1e-6 * (INSTANCES - server) for server in range(INSTANCES)]
    latencies_ms = []
    for arrival_s in arrivals_s:
        server = int(np.argmin(free_s))
        start_s = max(arrival_s, free_s[server])
        free_s[server] = start_s + duration_s(server, start_s)
        latencies_ms.append((free_s[server] - arrival_s) * 1000)
    return np.array(latencies_ms)


def write_traces(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Arrivals at some 60 % of what three servers can do, and times in which one of them is slow."""
    random = np.random.default_rng(5)
    arrivals_s = np.cumsum(random.exponential(1 / 90, 500))
    starts_s = np.sort(random.uniform(0, arrivals_s[-1], 12))
    slow = pd.DataFrame(
        {
            "instance": random.integers(INSTANCES, size=12),
            "start_s": starts_s,
            "end_s": starts_s + random.uniform(0.1, 0.6, 12),
            "factor": random.choice([1.0, 2.0, 3.0], 12),
            "extra_ms": random.choice([0.0, 30.0, 60.0], 12),
        }
    )
    pd.DataFrame({"scheduled_s": arrivals_s}).to_csv(folder / "arrivals.csv", index=False)
    slow.to_csv(folder / "slow.csv", index=False)
    return arrivals_s, slow


@pytest.mark.parametrize(("policy", "base"), [("none", INSTANCES), ("equal_resources", INSTANCES - 1)])
@pytest.mark.alone
@pytest.mark.slow
def test_latencies_are_those_of_a_queue(run: Run, folder: Path, trained: Trained, policy: str, base: int) -> None:
    arrivals_s, slow = write_traces(folder)

    def injected_s(server: int, start_s: float) -> float:
        now = slow[(slow["instance"] == server) & (slow["start_s"] <= start_s) & (start_s < slow["end_s"])]
        return float(SERVICE_S * now["factor"].prod() + now["extra_ms"].sum() / 1000)

    given = (
        "load=trace", "load.path=arrivals.csv", "load.slo_ms=null", "straggler=[trace]",
        "straggler.trace.path=slow.csv", f"pool.instances={base}", f"pool.service_time_ms={SERVICE_S * 1000}",
        f"redundancy=[{policy}]", "tracker=none",
    )  # fmt: skip
    assert run("serve", f"run={trained()}", *given) == 0
    (run_dir,) = run_dirs(folder, "serve")
    queries = pd.read_parquet(run_dir / f"queries-{policy}.parquet")
    assert np.allclose(queries["scheduled_s"], arrivals_s)
    assert queries["latency_ms"].min() >= SERVICE_S * 1000

    # A task takes what the trace says of the moment in which it begins, and hardly more.
    tasks = pd.read_parquet(run_dir / f"tasks-{policy}.parquet").sort_values("batch")
    took_s = (tasks["finished_s"] - tasks["started_s"]).to_numpy()
    told_s = np.array([injected_s(*task) for task in zip(tasks["instance"], tasks["started_s"], strict=True)])
    assert (took_s - told_s).min() > -1e-6
    assert np.median(took_s - told_s) < 2e-3

    # With nothing but the two traces, the queue is the one on paper; what else the machine does adds to it.
    added_ms = queries["latency_ms"] - fifo(arrivals_s, injected_s)
    assert np.median(added_ms) > -0.5
    ahead_s = tasks["started_s"] - tasks["placed_s"], queries["sent_s"] - queries["scheduled_s"], took_s - told_s
    if max(np.percentile(seconds, 99) for seconds in ahead_s) > 1.5e-3:
        pytest.skip("the machine is too busy to tell")
    assert np.median(added_ms) < 2
    ideal_ms = fifo(arrivals_s, injected_s)
    assert np.percentile(queries["latency_ms"], 99) == pytest.approx(np.percentile(ideal_ms, 99), rel=0.1)
