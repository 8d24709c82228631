"""What a served run measures before its policies, and what goes from one policy to the next."""

from pathlib import Path
from typing import Any

import pytest

from parity_exp.serving.pools import LocalPool
from parity_exp.serving.throughput import Throughput
from tests.conftest import Run, Trained, metrics, run_dirs

FREE = (
    "tracker=none", "load.queries=60", "load.warmup=0", "load.rate_qps=null", "load.utilisation=0.5",
    "pool.instances=2", "pool.service_time_ms=0", "straggler=none",
)  # fmt: skip


@pytest.mark.slow
def test_utilisation_is_of_what_all_instances_serve_together_and_both_figures_are_told(
    run: Run, folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begun: list[int] = []
    begin = LocalPool._begin_life

    def counted(pool: LocalPool, spot: Any, now_s: float) -> None:
        begun.append(spot.index)
        begin(pool, spot, now_s)

    monkeypatch.setattr(LocalPool, "_begin_life", counted)
    assert run("serve", f"run={trained()}", *FREE, "redundancy=[none,equal_resources,parity]") == 0
    assert sorted(begun) == [0, 1, 2]  # what was measured with serves, and so does who served under the policy before
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    capacity_qps = values["serve/capacity_qps"]
    assert values["serve/rate_qps"] == pytest.approx(0.5 * capacity_qps)
    assert values["serve/utilisation"] == pytest.approx(0.5)
    assert 0 < values["serve/service_time_ms"] < 1000
    shown = " ".join(capfd.readouterr().out.split())
    assert f"2 base instances that serve {capacity_qps:,.0f} q/s together" in shown
    report = (run_dir / "report.html").read_text()
    assert "One base instance alone took" in report and "all of them together can serve" in report


@pytest.mark.slow
def test_instances_in_each_others_way_are_warned_of(
    run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("parity_exp.serving.serving.measure_alone", lambda *_: 0.01)
    monkeypatch.setattr("parity_exp.serving.serving.measure_together", lambda *_: 120.0)
    monkeypatch.setattr(LocalPool, "cores", lambda _: 1)
    assert run("serve", f"run={trained()}", *FREE, "redundancy=[none]") == 0
    shown = " ".join(" ".join(capfd.readouterr()).split())
    words = Throughput(2, 0.01, 120.0).words(["cpu", "cpu"], 1)
    assert words is not None and words in shown


@pytest.mark.parametrize(
    ("floor_ms", "together_qps", "capacity_qps"), [(10, 190.0, 200.0), (10, 100.0, 100.0), (0, 190.0, 190.0)]
)
def test_instances_that_sleep_serve_what_their_sleep_allows_unless_they_cannot(
    run: Run, folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, floor_ms: int, together_qps: float,
    capacity_qps: float,
) -> None:  # fmt: skip
    monkeypatch.setattr("parity_exp.serving.serving.measure_alone", lambda *_: 0.01)
    monkeypatch.setattr("parity_exp.serving.serving.measure_together", lambda *_: together_qps)
    given = (f"run={trained()}", *FREE, f"pool.service_time_ms={floor_ms}", "redundancy=[none]")
    assert run("serve", *given) == 0
    (run_dir,) = run_dirs(folder, "serve")
    assert metrics(run_dir)["serve/capacity_qps"] == pytest.approx(capacity_qps)
