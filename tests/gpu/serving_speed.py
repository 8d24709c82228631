"""How fast instances serve on a GPU, each number beside a baseline from the same run; importable without pytest.

Run with::

    python -m tests.gpu.serving_speed

from the root of the repository. On one GPU it takes about a minute; ``--device cpu`` tries it out without one.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from parity_exp.disturbances.timeline import Timeline
from parity_exp.models import MLP, ResNet
from parity_exp.policies import NoRedundancy
from parity_exp.policies.desk import Desk
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.recorder import Recorder
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.pool import Finished, Pool, ServedModel
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.throughput import measure_alone, measure_together
from parity_exp.tasks import Classification
from tests.gpu.rows import Row, table

SHAPE, OUTPUTS = (1, 28, 28), 10
UTILISATION = 0.3
PACE_S = 0.01
"""Time between two queries that find everything idle."""

START_LIMIT_S = 15.0
THROTTLING = Path("/sys/fs/cgroup/cpu.stat")

WANTED_MS = 0.3
"""What a pool may add to a direct call."""


@dataclass(frozen=True)
class Size:
    """How much is measured: of everything on a GPU, of little where that only tries the script out."""

    model: ServedModel
    calls: int
    queries: int
    many: int
    several: int
    seconds: float


LARGE = Size(ServedModel(partial(ResNet, SHAPE, OUTPUTS), SHAPE, (OUTPUTS,)), 400, 3_000, 12, 6, 2.0)
SMALL = Size(ServedModel(partial(MLP, SHAPE, OUTPUTS), SHAPE, (OUTPUTS,)), 30, 100, 3, 2, 0.2)


def serving_rows(device: str = "cuda:0", size: Size = LARGE) -> list[Row]:
    """Measure everything; returns the rows of a table.

    Args:
        device: of all instances, and of the direct call.
        size: how much to measure.
    """
    query = torch.rand(1, *SHAPE)
    hot_ms, paced_ms = _direct(size, torch.device(device), query)
    direct_ms = _percentile(hot_ms, 50)
    rows = [Row("direct call, one after the other, p50", direct_ms, "ms")]
    for percent in (50, 99):
        value = _percentile(paced_ms, percent)
        rows.append(Row(f"direct call, one every 10 ms, p{percent}", value, "ms", direct_ms, "one after the other"))
    for graphs, name in (("auto", "captured"), (False, "not captured")):
        pool = LocalPool(devices=device, cuda_graphs=graphs)
        try:
            rows.append(Row(f"start of one instance, {name}", _start(pool, size.model, 1), "s"))
            rows += _idle(pool, size, query, direct_ms, name)
            rows += _at_low_load(pool, size, name)
        finally:
            pool.close()
    return rows + _several(device, size)


def _direct(size: Size, device: torch.device, query: torch.Tensor) -> tuple[list[float], list[float]]:
    """Milliseconds of calls of the network, with the copies there and back, without pause and with pauses."""
    network = size.model.network().to(device).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():

            def call() -> None:
                network(query.to(device)).cpu()

            for _ in range(20):
                call()
            hot_ms = [_timed_ms(call) for _ in range(size.calls)]
            paced_ms = []
            for _ in range(size.calls // 2):
                time.sleep(PACE_S)
                paced_ms.append(_timed_ms(call))
    finally:
        torch.set_num_threads(threads)
    return hot_ms, paced_ms


def _idle(pool: Pool, size: Size, query: torch.Tensor, direct_ms: float, name: str) -> list[Row]:
    """Round trips through the pool, back to back and one every so often."""
    hot_ms = [_timed_ms(lambda: _round_trip(pool, query)) for _ in range(size.calls)]
    paced_ms = []
    for _ in range(size.calls // 2):
        pool.poll(PACE_S)
        paced_ms.append(_timed_ms(lambda: _round_trip(pool, query)))
    at = f"idle instance, {name}"
    added_ms = _percentile(hot_ms, 50) - direct_ms
    wanted = f"at most {WANTED_MS} ms" if name == "captured" else ""
    return [
        Row(f"{at}, one after the other, p50", _percentile(hot_ms, 50), "ms", direct_ms, "direct call"),
        Row(f"{at}, one after the other, p99", _percentile(hot_ms, 99), "ms", direct_ms, "direct call"),
        Row(f"{at}, one every 10 ms, p50", _percentile(paced_ms, 50), "ms", direct_ms, "direct call"),
        Row(
            f"{at}, adds to a direct call", added_ms, "ms", None, "", wanted, added_ms <= WANTED_MS if wanted else None
        ),
    ]


def _round_trip(pool: Pool, query: torch.Tensor) -> None:
    if not pool.send(0, 0, "base", query):
        raise RuntimeError("the instance takes no query")
    while True:
        for event in pool.poll(1.0):
            if isinstance(event, Finished):
                return
            raise RuntimeError(f"expected an answer, got {event}")


def _at_low_load(pool: Pool, size: Size, name: str) -> list[Row]:
    """Latencies of one instance at a third of what it can do, without stragglers, and where the time goes."""
    queries = torch.rand(200, *SHAPE)
    service_s = measure_alone(pool, "base", queries, 1)
    random = np.random.default_rng(0)
    qps = measure_together(pool, 1, "base", queries, 1, size.seconds) or float("nan")
    arrivals_s = np.cumsum(random.exponential(1 / (qps * UTILISATION), size.queries))
    workload = Workload(
        queries=queries,
        labels=torch.zeros(len(queries), dtype=torch.int64),
        sample_of=np.arange(size.queries) % len(queries),
        arrivals_s=arrivals_s,
        think_s=None,
        task=Classification([str(number) for number in range(OUTPUTS)]),
        default=torch.zeros(OUTPUTS),
    )
    recorder = Recorder(size.queries, 0)
    throttled = _throttled()
    Frontend(pool, Desk(NoRedundancy(k=2, r=1), 1), None, workload, recorder).run()
    throttled = _throttled() - throttled
    metrics = serving_metrics(recorder.queries(), recorder.lost, recorder.duplicates)
    tasks = recorder.tasks()
    answered = recorder.queries()
    times_s = {
        "sent late by the frontend": answered["sent_s"] - answered["scheduled_s"],
        "message to the instance": tasks["started_s"] - tasks["placed_s"],
        "in the instance": tasks["finished_s"] - tasks["started_s"],
    }
    if len(tasks) == len(answered):
        # One task a query, in their order.
        in_order = tasks.sort_values("task")
        times_s["in the queue"] = in_order["placed_s"].to_numpy() - answered["sent_s"]
        times_s["back to the client"] = answered["completed_s"] - in_order["finished_s"].to_numpy()
    at = f"30 % utilisation, {name}"
    rows = [
        Row(f"{at}, latency {percentile}", metrics[f"latency_ms/{percentile}"], "ms", service_s * 1e3, "service time")
        for percentile in ("p50", "p99", "p99.9")
    ]
    for what, time_s in times_s.items():
        for percent in (50, 99, 100):
            value = float(np.percentile(time_s.to_numpy(), percent, method="inverted_cdf")) * 1e3
            rows.append(Row(f"{at}, {what}, p{percent}", value, "ms"))
    return [*rows, Row(f"{at}, the container was throttled", throttled, "times")]


def _several(device: str, size: Size) -> list[Row]:
    """Start of many instances, their change to the next policy, and what several serve together."""
    pool = LocalPool(devices=device)
    queries = torch.rand(200, *SHAPE)
    many, several = f"{size.many} instances", f"{size.several} instances"
    try:
        start_s, change_s = (_start(pool, size.model, size.many) for _ in range(2))
        _start(pool, size.model, size.several)
        alone_qps = 1 / measure_alone(pool, "base", queries, 1)
        together_qps = measure_together(pool, size.several, "base", queries, 1, size.seconds) or float("nan")
    finally:
        pool.close()
    wanted = f"under {START_LIMIT_S:g} s"
    return [
        Row(f"start of {many}", start_s, "s", None, "", wanted, start_s < START_LIMIT_S),
        Row(f"{many} go over to the next policy", change_s, "s", start_s, "start"),
        Row(f"{several} together", together_qps, "queries/s", alone_qps, "one alone"),
    ]


def _start(pool: LocalPool, model: ServedModel, instances: int) -> float:
    """Seconds until so many instances are ready."""
    started_s = time.perf_counter()
    pool.start({"base": model}, [["base"]] * instances, 1, [Timeline()] * instances)
    return time.perf_counter() - started_s


def _timed_ms(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return (time.perf_counter() - started_s) * 1e3


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent, method="inverted_cdf"))


def _throttled() -> float:
    """How often the container has been stopped for having used up its share of the cores; NaN where nobody counts."""
    try:
        counts = dict(line.split() for line in THROTTLING.read_text().splitlines())
        return float(counts["nr_throttled"])
    except (OSError, KeyError, ValueError):
        return float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How fast instances serve on a GPU.")
    parser.add_argument("--device", default="cuda:0")
    device = parser.parse_args().device
    started_s = time.perf_counter()
    print(table(serving_rows(device, SMALL if device == "cpu" else LARGE)))
    print(f"measured in {time.perf_counter() - started_s:.0f} s")


if __name__ == "__main__":
    main()
