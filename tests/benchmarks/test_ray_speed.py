"""What a pool on a Ray cluster costs, against bare actors that hold the same model, and against the local pool.

One query of 28x28 at a time, and as many as instances take. Run with::

    pytest tests/benchmarks/test_ray_speed.py --benchmark-enable -s

and read the ratios that it prints. Nothing is asserted about time. Bare actors are called with a tensor, as one would
write it first, and with an array, which Ray carries faster.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.disturbances.timeline import Timeline
from parity_exp.serving.pool import Finished, Pool, ServedModel
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.pools.ray import RayPool
from tests.serving.small_models import CORNER, SHAPE, BareActor, mlp

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

MODELS = {"mlp": ServedModel(mlp, SHAPE, (10,)), "corner": CORNER}
ROUND_TRIPS, TASKS, INSTANCES, IN_FLIGHT, ROUNDS = 300, 3_000, 2, 32, 5


@pytest.fixture(scope="module")
def actors(ray_cluster: "Cluster") -> list[Any]:
    import ray

    actors = [ray.remote(num_cpus=0)(BareActor).remote() for _ in range(INSTANCES)]  # type: ignore[attr-defined]
    ray.get([actor.array.remote("mlp", np.zeros((1, *SHAPE), np.float32)) for actor in actors])
    return actors


@pytest.fixture(scope="module")
def pools(ray_cluster: "Cluster") -> Iterator[dict[str, Pool]]:
    pools: dict[str, Pool] = {
        "Ray pool": RayPool(num_cpus=0.1, prefetch=IN_FLIGHT),
        "local pool": LocalPool(devices="cpu", prefetch=IN_FLIGHT),
    }
    for pool in pools.values():
        pool.start(MODELS, [list(MODELS)] * INSTANCES, 1, [Timeline()] * INSTANCES)
    yield pools
    for pool in pools.values():
        pool.close()


def _timed(call: Callable[[], object]) -> float:
    before_s = time.perf_counter()
    call()
    return time.perf_counter() - before_s


def by_actor(actor: Any, method: str, query: object) -> list[float]:
    import ray

    return [_timed(lambda: ray.get(getattr(actor, method).remote("mlp", query))) for _ in range(ROUND_TRIPS)]


def by_pool(pool: Pool, query: torch.Tensor) -> list[float]:
    def round_trip() -> None:
        assert pool.send(0, 0, "mlp", query)
        while not (events := pool.poll(1)):
            pass
        assert isinstance(events[0], Finished)

    return [_timed(round_trip) for _ in range(ROUND_TRIPS)]


def actors_rate(actors: list[Any], method: str, query: object) -> float:
    """Tasks a second in batches of calls."""
    import ray

    def batches() -> None:
        for _ in range(TASKS // (IN_FLIGHT * len(actors))):
            ray.get([getattr(actor, method).remote("corner", query) for _ in range(IN_FLIGHT) for actor in actors])

    return TASKS // (IN_FLIGHT * len(actors)) * IN_FLIGHT * len(actors) / _timed(batches)


def pool_rate(pool: Pool, query: torch.Tensor) -> float:
    def saturate() -> None:
        sent = done = 0
        while done < TASKS:
            for instance in range(INSTANCES):
                while sent < TASKS and pool.send(instance, sent, "corner", query):
                    sent += 1
            done += len(pool.poll(1))

    return TASKS / _timed(saturate)


def enabled(benchmark: BenchmarkFixture) -> None:
    if benchmark.disabled:
        pytest.skip("a benchmark that starts a Ray cluster; run with --benchmark-enable")


def test_one_at_a_time(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    enabled(benchmark)
    actors, pools = request.getfixturevalue("actors"), request.getfixturevalue("pools")
    query = torch.rand(1, *SHAPE)
    times_s: dict[str, list[float]] = {"tensor": [], "array": [], "local pool": [], "Ray pool": []}

    def baselines() -> None:
        times_s["tensor"] += by_actor(actors[0], "tensor", query)
        times_s["array"] += by_actor(actors[0], "array", query.numpy())
        times_s["local pool"] += by_pool(pools["local pool"], query)

    def measured() -> None:
        times_s["Ray pool"] += by_pool(pools["Ray pool"], query)

    benchmark.pedantic(measured, setup=baselines, rounds=ROUNDS)
    us = {name: statistics.median(values) * 1e6 for name, values in times_s.items()}
    report(benchmark, {f"median of {name}, us": value for name, value in us.items()})
    report(benchmark, {f"Ray pool to {name}": us["Ray pool"] / us[name] for name in ("tensor", "array", "local pool")})


def test_many_in_flight(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    enabled(benchmark)
    actors, pools = request.getfixturevalue("actors"), request.getfixturevalue("pools")
    query = torch.rand(1, *SHAPE)
    rates: dict[str, list[float]] = {"tensor": [], "array": [], "local pool": [], "Ray pool": []}

    def baselines() -> None:
        rates["tensor"].append(actors_rate(actors, "tensor", query))
        rates["array"].append(actors_rate(actors, "array", query.numpy()))
        rates["local pool"].append(pool_rate(pools["local pool"], query))

    benchmark.pedantic(
        lambda: rates["Ray pool"].append(pool_rate(pools["Ray pool"], query)), setup=baselines, rounds=ROUNDS
    )
    qps = {name: statistics.median(values) for name, values in rates.items()}
    report(benchmark, {f"{name}, tasks/s": value for name, value in qps.items()})
    report(benchmark, {f"Ray pool to {name}": qps["Ray pool"] / qps[name] for name in ("tensor", "array")})


def report(benchmark: BenchmarkFixture, values: dict[str, float]) -> None:
    benchmark.extra_info.update(values)
    for name, value in values.items():
        print(f"\n{name}: {value:.4g}", end="")
