"""Seconds of a report on 1,000 run directories, against reading their configs and metrics and doing nothing with them.

Run with::

    pytest tests/benchmarks/test_report_speed.py --benchmark-enable -s

and read the ratio that it prints. Nothing is asserted about time.
"""

import json
import statistics
import time
from pathlib import Path

import pytest
import yaml
from pytest_benchmark.fixture import BenchmarkFixture

from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.recordings.gathered import gather
from parity_exp.recordings.plain_yaml import QUICK_YAML
from tests.analysis.many_runs import write_many_runs

TRAINED, SERVED = 600, 400


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "outputs"
    write_many_runs(folder, TRAINED, SERVED)
    return folder


def read_only(outputs: Path) -> int:
    configs = [
        yaml.load(path.read_bytes(), Loader=QUICK_YAML)
        for path in outputs.glob("**/config.yaml")
        if path.parent.name != ".hydra"
    ]
    metrics = [json.loads(path.read_bytes()) for path in outputs.glob("**/metrics.json")]
    return len(configs) + len(metrics)


@pytest.mark.benchmark(group="1,000 run directories")
def test_report(benchmark: BenchmarkFixture, outputs: Path, tmp_path: Path) -> None:
    if benchmark.disabled:
        pytest.skip("writes 1,000 run directories; enable with --benchmark-enable")
    read_s: list[float] = []

    def read() -> None:
        started_s = time.perf_counter()
        assert read_only(outputs) == 2 * (TRAINED + SERVED)
        read_s.append(time.perf_counter() - started_s)

    def report() -> int:
        return len(write_comparison(gather([f"{outputs}/**"]), tmp_path, ["outputs/**"]).runs)

    # On a shared machine speed drifts within a minute, so each round reads right before it reports.
    assert benchmark.pedantic(report, setup=read, rounds=3) == TRAINED + SERVED
    plain_s, whole_s = statistics.median(read_s), benchmark.stats.stats.median
    benchmark.extra_info["seconds, ratio to reading alone"] = whole_s / plain_s
    print(f"\nreport {whole_s:.1f} s, reading alone {plain_s:.1f} s, ratio {whole_s / plain_s:.1f}")
