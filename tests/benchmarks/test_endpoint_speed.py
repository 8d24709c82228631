"""What the live endpoint adds to a model that does nothing, against servers that others make, over the same bytes.

Run with::

    pip install --group benchmarks
    pytest tests/benchmarks/test_endpoint_speed.py --benchmark-enable -n 0 -s

and read the ratios that it prints. Nothing is asserted about time. Servers run one at a time, each in processes of its
own, and take turns; all are asked by the same process (``http_load.py``). The processor time of a request says the
same on a machine that others use as well.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.endpoint.transports.messages import SERVICE, message
from tests.child_signals import heard_by_default
from tests.commands.processes import processor_s, session

HERE = Path(__file__).parent
OURS, OIP = "ours", "/v2/models/base/infer"
RIVALS = {"litserve": ("by_litserve", "1"), "ray": ("by_ray_serve", "2")}
"""Of each package the server, and how many workers it has: the number that makes it fastest on two cores."""

CLIENTS, SECONDS, ROUNDS, PATIENCE_S = 64, 5.0, 3, 120.0
PAUSE_S, IDLE_S = 0.005, 5.0


def _body() -> bytes:
    data = np.random.default_rng(0).random(784).round(4).tolist()
    return json.dumps(
        {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": data}]}
    ).encode()


BODY = _body()


@contextmanager
def served(name: str, argument: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """One of the servers, while it answers; its process and port."""
    port = free_port()
    command = [sys.executable, "-m", f"tests.benchmarks.servers.{name}", str(port), argument]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=HERE.parents[1],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=heard_by_default,
    )
    try:
        end_s = time.monotonic() + PATIENCE_S
        path = OIP if name == OURS else "/predict"
        while True:
            assert process.poll() is None, f"{name} has ended"
            assert time.monotonic() < end_s, f"{name} does not answer"
            with suppress(subprocess.CalledProcessError):  # nobody listens, or nobody has answered
                if ask(port, path, 1, 1.0)["bad"] == 0:
                    break
            time.sleep(0.5)
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that outlive their server
        process.wait()


def free_port() -> int:
    """A port of which the next one is free, too."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, path: str, clients: int, seconds: float, pause_s: float = 0.0) -> dict[str, float]:
    """What clients found: ``rate``, ``bad``, ``p50_ms``, ``p99_ms``."""
    asking = {
        "port": port, "path": path, "headers": {"content-type": "application/json"}, "clients": clients,
        "seconds": seconds, "pause_s": pause_s,
    }  # fmt: skip
    command = [sys.executable, str(HERE / "http_load.py"), json.dumps(asking)]
    return dict(json.loads(subprocess.run(command, input=BODY, capture_output=True, check=True).stdout))


def loaded(name: str, argument: str, seconds: float = SECONDS) -> dict[str, float]:
    """A server with many clients at a time: answers a second, and microseconds of processor time for each."""
    with served(name, argument) as (process, port):
        path = OIP if name == OURS else "/predict"
        ask(port, path, CLIENTS, seconds / 4)
        before_s = processor_s(session(process.pid))
        found = ask(port, path, CLIENTS, seconds)
        spent_s = processor_s(session(process.pid)) - before_s
        assert found["bad"] == 0
    return {"rate": found["rate"], "cpu_us": spent_s / (found["rate"] * seconds) * 1e6}


@pytest.mark.parametrize("package", list(RIVALS))
def test_sixty_four_clients_at_a_time(benchmark: BenchmarkFixture, package: str) -> None:
    enabled(benchmark, package)
    found: dict[str, list[dict[str, float]]] = {"ours": [], package: []}
    benchmark.pedantic(
        lambda: found["ours"].append(loaded(OURS, "NoRedundancy")),
        setup=lambda: found[package].append(loaded(*RIVALS[package])),
        rounds=ROUNDS,
    )
    middle = {name: {key: median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()}
    ours, theirs = middle["ours"], middle[package]
    report(benchmark, {f"{name}: {key}": value for name, values in middle.items() for key, value in values.items()})
    report(
        benchmark,
        {
            f"requests a second to {package}, ratio": ours["rate"] / theirs["rate"],
            f"processor time to {package}, ratio": ours["cpu_us"] / theirs["cpu_us"],
        },
    )


@pytest.mark.parametrize("policy", ["NoRedundancy", "Adaptive"])
def test_one_client_that_takes_its_time(benchmark: BenchmarkFixture, policy: str) -> None:
    enabled(benchmark, "uvloop")
    by_http: list[float] = []
    by_grpc: list[float] = []
    with served(OURS, policy) as (_, port):
        benchmark.pedantic(
            lambda: by_http.append(ask(port, OIP, 1, IDLE_S, PAUSE_S)["p50_ms"]),
            setup=lambda: by_grpc.append(grpc_p50_ms(port + 1)),
            rounds=ROUNDS,
        )
    report(benchmark, {f"{policy}, HTTP p50, ms": median(by_http), f"{policy}, gRPC p50, ms": median(by_grpc)})


def grpc_p50_ms(port: int) -> float:
    """The median of answers over gRPC to a client that asks one thing at a time."""
    request = message("ModelInferRequest")(model_name="base")
    request.inputs.add(name="input", datatype="FP32", shape=[1, 1, 28, 28])
    request.raw_input_contents.append(np.zeros(784, np.float32).tobytes())
    given = request.SerializeToString()
    latencies_ms: list[float] = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        end_s = time.monotonic() + IDLE_S
        while time.monotonic() < end_s:
            before_s = time.perf_counter()
            call(given)
            latencies_ms.append((time.perf_counter() - before_s) * 1e3)
            time.sleep(PAUSE_S)
    return median(latencies_ms)


def test_the_clients_of_the_benchmarks_count_what_they_get() -> None:
    from tests.endpoint.live import SHAPE, live

    given = {"name": "input", "datatype": "FP32", "shape": [1, *SHAPE], "data": [1.0] * 16}
    asking = {"path": OIP, "headers": {}, "clients": 4, "seconds": 0.5, "pause_s": 0.0}
    for body, bad in ((json.dumps({"inputs": [given]}).encode(), False), (b"{}", True)):
        with live() as made:
            command = [sys.executable, str(HERE / "http_load.py"), json.dumps({**asking, "port": made.server.port})]
            found = json.loads(subprocess.run(command, input=body, capture_output=True, check=True).stdout)
            assert found["rate"] > 0 and (found["bad"] > 0) == bad


def enabled(benchmark: BenchmarkFixture, package: str) -> None:
    if benchmark.disabled:
        pytest.skip("a benchmark that starts servers; run with --benchmark-enable")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install --group benchmarks")


def report(benchmark: BenchmarkFixture, figures: dict[str, float]) -> None:
    benchmark.extra_info.update(figures)
    for name, value in figures.items():
        print(f"\n{name}: {value:,.2f}", end="")
