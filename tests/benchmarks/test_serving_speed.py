"""What the whole serving path costs, load to recorder, and the coding in it, each against a plain baseline.

Run with::

    pytest tests/benchmarks/test_serving_speed.py --benchmark-enable -s

and read what it prints. Nothing is asserted about time.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.disturbances.timeline import Timeline
from parity_exp.policies import Parity
from parity_exp.policies.desk import Desk
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.recorder import Recorder
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.group_coder import ParityGroupCoder
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.pools import LocalPool
from parity_exp.tasks import Classification
from tests.serving.small_models import CORNER, SHAPE, mlp

MLP = ServedModel(mlp, SHAPE, (10,))
BASE_INSTANCES, SAMPLES = 2, 1_000


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The commands serve with one thread, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def serve(
    model: ServedModel, prefetch: int, arrivals_s: np.ndarray, queries: int, think_s: float | None
) -> dict[str, float]:
    """ParM with k = 2 on 2 + 1 instances; metrics of all queries."""
    code = Code(AdditionEncoder(2, 1, SHAPE), SubtractionDecoder(2, 1, (10,)))
    desk = Desk(Parity(2, 1), BASE_INSTANCES, prefetch=prefetch)
    recorder = Recorder(queries, 0)
    workload = Workload(
        queries=torch.rand(SAMPLES, *SHAPE),
        labels=torch.zeros(SAMPLES, dtype=torch.int64),
        sample_of=np.arange(queries) % SAMPLES,
        arrivals_s=arrivals_s,
        think_s=think_s,
        task=Classification([str(number) for number in range(10)]),
        default=torch.zeros(10),
    )
    pool = LocalPool(devices="cpu", prefetch=prefetch)
    try:
        pool.start({"base": model, "parity-0": model}, desk.held, 1, [Timeline()] * len(desk.held))
        frontend = Frontend(pool, desk, ParityGroupCoder(code, 1), workload, recorder)
        frontend.run()
    finally:
        pool.close()
    metrics = serving_metrics(recorder.queries(), recorder.lost, recorder.duplicates) | frontend.metrics()
    assert metrics["queries"] == queries and metrics["lost"] == metrics["duplicates"] == 0
    return metrics


def test_a_model_that_does_nothing_at_saturation(benchmark: BenchmarkFixture) -> None:
    queries, clients = 30_000 if not benchmark.disabled else 300, 64
    rates: list[float] = []

    def saturate() -> None:
        rates.append(serve(CORNER, 32, np.zeros(clients), queries, 0.0)["throughput_qps"])

    benchmark.pedantic(saturate, rounds=1 if benchmark.disabled else 3)
    report(benchmark, {"queries a second through the whole path": median(rates)})


def test_one_query_at_a_time(benchmark: BenchmarkFixture) -> None:
    queries = 2_000 if not benchmark.disabled else 50
    network, query = mlp().eval(), torch.rand(1, *SHAPE)
    direct_us: list[float] = []
    served_us: list[float] = []

    def directly() -> None:
        with torch.inference_mode():
            direct_us.append(microseconds(lambda: network(query), queries))

    def alone() -> None:
        served_us.append(serve(MLP, 1, np.arange(queries) * 2e-3, queries, None)["latency_ms/p50"] * 1e3)

    benchmark.pedantic(alone, setup=directly, rounds=1 if benchmark.disabled else 3)
    report(
        benchmark,
        {
            "direct call, us": median(direct_us),
            "served when idle, us": median(served_us),
            "the harness adds, us": median(served_us) - median(direct_us),
        },
    )


def test_encoding_a_large_group(benchmark: BenchmarkFixture) -> None:
    shape = (3, 224, 224)
    members, out, total = [torch.rand(shape), torch.rand(shape)], torch.empty(shape), torch.empty(shape)
    encoder = AdditionEncoder(2, 1, shape)

    def chain() -> None:
        total.copy_(members[0])
        total.add_(members[1])

    compare(
        benchmark, "encoding to a chain of in-place additions", lambda: encoder.encode_group(members, 0, out), chain
    )
    assert torch.equal(out, members[0] + members[1])


def test_decoding_a_thousand_logits(benchmark: BenchmarkFixture) -> None:
    parity, own = torch.rand(1000), torch.rand(1000)
    decoder = SubtractionDecoder(2, 1, (1000,))
    compare(
        benchmark,
        "decoding to a subtraction",
        lambda: decoder.decode_group([own, None], [parity], 1),
        lambda: torch.sub(parity, own),
    )


def compare(benchmark: BenchmarkFixture, name: str, ours: Callable[[], object], baseline: Callable[[], object]) -> None:
    calls = 2_000 if not benchmark.disabled else 2
    ours_us: list[float] = []
    baseline_us: list[float] = []
    benchmark.pedantic(
        lambda: ours_us.append(microseconds(ours, calls)),
        setup=lambda: baseline_us.append(microseconds(baseline, calls)),
        rounds=1 if benchmark.disabled else 9,
    )
    report(
        benchmark,
        {
            f"{name}, ratio": median(ours_us) / median(baseline_us),
            "ours, us": median(ours_us),
            "baseline, us": median(baseline_us),
        },
    )


def microseconds(call: Callable[[], object], calls: int) -> float:
    """Median time of a call."""
    times_s = []
    for _ in range(calls):
        before_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - before_s)
    return median(times_s) * 1e6


def report(benchmark: BenchmarkFixture, figures: dict[str, float]) -> None:
    if benchmark.disabled:
        return
    benchmark.extra_info.update(figures)
    for name, value in figures.items():
        print(f"\n{name}: {value:,.2f}", end="")
