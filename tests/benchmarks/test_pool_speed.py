"""What a pool of processes costs, against a direct call of the model and an echo over a bare pipe.

One query of 28x28 at a time, as an idle deployment meets it, and as many as instances take, as a saturated one does.
Run with::

    pytest tests/benchmarks/test_pool_speed.py --benchmark-enable -s

and read the ratios and differences that it prints. Nothing is asserted about time.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.disturbances.timeline import Timeline
from parity_exp.serving.pool import Finished, ServedModel
from parity_exp.serving.pools import LocalPool
from tests.serving.small_models import CORNER, SHAPE, mlp

MLP = ServedModel(mlp, SHAPE, (10,))
ROUND_TRIPS, TASKS, INSTANCES, IN_FLIGHT = 2_000, 20_000, 2, 32
ALONE = f"{ROUND_TRIPS} round trips of one query"
MANY = f"{TASKS} queries, {INSTANCES} processes with {IN_FLIGHT} in flight each"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The model runs on one thread here as it does in an instance."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(devices="cpu", prefetch=IN_FLIGHT)
    pool.start({"mlp": MLP, "corner": CORNER}, [["mlp", "corner"]] * INSTANCES, 1, [Timeline()] * INSTANCES)
    yield pool
    pool.close()


def echo(connection: Connection) -> None:
    while True:
        try:
            connection.send_bytes(connection.recv_bytes())
        except EOFError:
            return


@pytest.fixture(scope="module")
def pipes() -> Iterator[list[Connection]]:
    context = get_context("forkserver")
    ours, processes = [], []
    for _ in range(INSTANCES):
        end, other = context.Pipe()
        processes.append(context.Process(target=echo, args=(other,), daemon=True))
        processes[-1].start()
        other.close()
        ours.append(end)
    yield ours
    for end in ours:
        end.close()
    for process in processes:
        process.join(5)


def directly(query: torch.Tensor) -> list[float]:
    network = mlp().eval()
    with torch.inference_mode():
        return [_timed(lambda: network(query)) for _ in range(ROUND_TRIPS)]


def by_pool(pool: LocalPool, model: str, query: torch.Tensor) -> list[float]:
    def round_trip() -> None:
        assert pool.send(0, 0, model, query)
        while not (events := pool.poll(1)):
            pass
        assert isinstance(events[0], Finished)

    return [_timed(round_trip) for _ in range(ROUND_TRIPS)]


def by_pipe(pipe: Connection, query: torch.Tensor) -> list[float]:
    def round_trip() -> None:
        pipe.send_bytes(query.numpy().data)
        torch.frombuffer(bytearray(pipe.recv_bytes()), dtype=torch.float32)

    return [_timed(round_trip) for _ in range(ROUND_TRIPS)]


def _timed(call: Callable[[], object]) -> float:
    before_s = time.perf_counter()
    call()
    return time.perf_counter() - before_s


@pytest.mark.benchmark(group=ALONE)
def test_one_at_a_time(benchmark: BenchmarkFixture, pool: LocalPool, pipes: list[Connection]) -> None:
    query = torch.rand(1, *SHAPE)
    # On a shared machine speed drifts within a minute, so each round of the pool has its baselines right before it.
    times_s: dict[str, list[float]] = {"direct": [], "pipe": [], "pool, no model": [], "pool": []}

    def baselines() -> None:
        times_s["direct"] += directly(query)
        times_s["pipe"] += by_pipe(pipes[0], query)
        times_s["pool, no model"] += by_pool(pool, "corner", query)

    def measured() -> None:
        times_s["pool"] += by_pool(pool, "mlp", query)

    benchmark.pedantic(measured, setup=baselines, rounds=3)
    if benchmark.stats:
        medians_us = {name: statistics.median(values) * 1e6 for name, values in times_s.items()}
        report(benchmark, {f"median of {name}, us": value for name, value in medians_us.items()})
        report(benchmark, {"the pool adds to a direct call, us": medians_us["pool"] - medians_us["direct"]})
        report(benchmark, {"pool without a model to a bare pipe": medians_us["pool, no model"] / medians_us["pipe"]})


def pool_rate(pool: LocalPool, query: torch.Tensor) -> tuple[float, float]:
    """Tasks a second, and seconds of CPU of this process a task."""
    sent = done = 0
    started_s, cpu_s = time.perf_counter(), time.process_time()
    while done < TASKS:
        for instance in range(INSTANCES):
            while sent < TASKS and pool.send(instance, sent, "corner", query):
                sent += 1
        done += len(pool.poll(1))
    return TASKS / (time.perf_counter() - started_s), (time.process_time() - cpu_s) / TASKS


def pipe_rate(pipes: list[Connection], query: torch.Tensor) -> float:
    content = query.numpy().data
    started_s = time.perf_counter()
    for pipe in pipes:
        for _ in range(IN_FLIGHT):
            pipe.send_bytes(content)
    sent, done = IN_FLIGHT * len(pipes), 0
    while done < TASKS:
        for pipe in pipes:
            if pipe.poll(0) or len(pipes) == 1:
                torch.frombuffer(bytearray(pipe.recv_bytes()), dtype=torch.float32)
                done += 1
                if sent < TASKS:
                    pipe.send_bytes(content)
                    sent += 1
    return TASKS / (time.perf_counter() - started_s)


@pytest.mark.benchmark(group=MANY)
def test_many_in_flight(benchmark: BenchmarkFixture, pool: LocalPool, pipes: list[Connection]) -> None:
    query = torch.rand(1, *SHAPE)
    bare: list[float] = []
    rates: list[tuple[float, float]] = []
    benchmark.pedantic(
        lambda: rates.append(pool_rate(pool, query)), setup=lambda: bare.append(pipe_rate(pipes, query)), rounds=5
    )
    if benchmark.stats:
        rate = statistics.median(rate for rate, _ in rates)
        report(benchmark, {"pool, tasks/s": rate, "bare pipes, echoes/s": statistics.median(bare)})
        report(benchmark, {"pool to bare pipes": rate / statistics.median(bare)})
        report(benchmark, {"CPU of the frontend a task, us": statistics.median(cpu_s for _, cpu_s in rates) * 1e6})


@pytest.mark.benchmark(group="start of a pool, the fork server running")
def test_start(benchmark: BenchmarkFixture, pool: LocalPool) -> None:
    def start_and_close() -> None:
        another = LocalPool(devices="cpu")
        another.start({"mlp": MLP}, [["mlp"]] * 3, 1, [Timeline()] * 3)
        another.close()

    benchmark.pedantic(start_and_close, rounds=5)


def report(benchmark: BenchmarkFixture, values: dict[str, float]) -> None:
    benchmark.extra_info.update(values)
    for name, value in values.items():
        print(f"\n{name}: {value:.4g}", end="")
