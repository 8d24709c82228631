"""``simulate``: what serving would record, in simulated time."""

import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parity_exp.analysis.pages.run import write_report
from parity_exp.load import read_arrivals
from tests.commands.processes import kill, session, wait_until
from tests.conftest import Run, Trained, metrics, run_dirs, start

SMALL = ("tracker=none", "load.queries=400", "load.warmup=50")


def one_run(folder: Path) -> Path:
    (run_dir,) = run_dirs(folder, "simulate")
    return run_dir


def refuse(run: Run, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command is refused with."""
    assert run("simulate", *SMALL, *arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    "others", [[], pytest.param(["equal_resources", "hedged", "approximate_backup"], marks=pytest.mark.slow)]
)
def test_it_leaves_what_serve_leaves(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], others: list[str]
) -> None:
    policies = ["parity", "shared_parity", "replication", *others]
    stragglers = (
        "straggler=[shuffle,crash]",
        "straggler.crash.interval_s=0.13",
        "distribution@simulate.restart=pareto",
    )
    assert run("simulate", *SMALL, f"redundancy=[{','.join(policies)}]", *stragglers) == 0
    run_dir = one_run(folder)
    values = metrics(run_dir)
    trace = pd.read_csv(run_dir / "straggler-trace.csv")
    assert set(trace["kind"]) == {"slow", "kill"}
    assert len(read_arrivals(run_dir / "arrivals.csv")) == 450
    for policy in policies:
        table = pd.read_parquet(run_dir / f"queries-{policy}.parquet")
        assert table["query"].tolist() == list(range(50, 450))
        latency_ms = np.sort(table["latency_ms"])
        assert values[f"simulate/{policy}/latency_ms/p99"] == pytest.approx(latency_ms[395])
        assert values[f"simulate/{policy}/queries"] == 400
        assert values[f"simulate/{policy}/lost"] == values[f"simulate/{policy}/duplicates"] == 0
        shares = [values[f"simulate/{policy}/fraction/{source}"] for source in ("own", "reconstructed", "backup")]
        assert sum(shares) == pytest.approx(1)
        tasks = pd.read_parquet(run_dir / f"tasks-{policy}.parquet")
        assert (tasks["outcome"] == "lost").any() and not tasks.loc[tasks["outcome"] == "done"].isna().any(axis=None)
        assert (run_dir / "figures" / f"instance_timeline-{policy}.png").is_file()
    assert values["simulate/parity/instances"] == 6
    assert values["simulate/replication/tasks_per_query"] > 1.2
    assert "shared_parity" in (run_dir / "report.html").read_text()
    assert "p99.9" in capfd.readouterr().out


def test_the_same_seed_gives_the_same_and_another_one_does_not(run: Run, folder: Path) -> None:
    options = ("simulate.network_ms=1", "distribution@simulate.service_time=lognormal")
    for seed in (4, 4, 5):
        assert run("simulate", *SMALL, *options, f"seed={seed}", "redundancy=[hedged]") == 0
    one, same, other = (pd.read_parquet(run_dir / "queries-hedged.parquet") for run_dir in run_dirs(folder, "simulate"))
    pd.testing.assert_frame_equal(one, same)
    assert (one["latency_ms"] != other["latency_ms"]).mean() > 0.9
    assert one["latency_ms"].min() > 2  # two messages, and a service time


@pytest.mark.slow
def test_several_seeds_have_means_and_intervals(run: Run, folder: Path) -> None:
    options = ("redundancy=[none,parity]", "distribution@simulate.service_time=exponential")
    assert run("simulate", *SMALL, *options, "seed=3", "simulate.seeds=3", "simulate.processes=2") == 0
    run_dir = one_run(folder)
    values, seeds = metrics(run_dir), pd.read_csv(run_dir / "seeds.csv")
    assert seeds.groupby("policy")["seed"].apply(list).to_dict() == {"none": [3, 4, 5], "parity": [3, 4, 5]}
    p99_ms = seeds.loc[seeds["policy"] == "parity", "latency_ms/p99"]
    assert values["simulate/parity/latency_ms/p99"] == pytest.approx(p99_ms.mean())
    # Student's t for 2 degrees of freedom: 4.303.
    assert values["simulate/parity/latency_ms/p99_ci95"] == pytest.approx(4.3027 * p99_ms.std() / 3**0.5, rel=1e-4)
    assert "confidence intervals" in (run_dir / "report.html").read_text()
    pairs = pd.read_csv(run_dir / "pairs.csv")
    assert pairs[["policy", "other"]].drop_duplicates().to_numpy().tolist() == [["none", "parity"]]
    assert (pairs["low"] <= pairs["ratio"]).all() and (pairs["ratio"] <= pairs["high"]).all()
    first = pd.read_parquet(run_dir / "queries-parity.parquet")["latency_ms"]
    assert np.sort(first)[395] == pytest.approx(p99_ms.iloc[0])


def test_batches_queues_and_a_closed_loop(run: Run, folder: Path) -> None:
    options = ("queue=round_robin", "load=closed", "load.clients=9", "load.think_ms=5", "pool.batch_size=2")
    assert run("simulate", *SMALL, *options, "redundancy=[parity]", "k=3", "r=2") == 0
    run_dir = one_run(folder)
    table = pd.read_parquet(run_dir / "queries-parity.parquet")
    assert len(table) == 400 and metrics(run_dir)["simulate/parity/lost"] == 0
    # At no time more than the clients have queries under way.
    edges = sorted([(t, 1) for t in table["scheduled_s"]] + [(t, -1) for t in table["completed_s"]])
    assert max(np.cumsum([change for _, change in edges])) <= 9


@pytest.mark.slow
def test_a_served_run_calibrates(run: Run, folder: Path, trained: Trained) -> None:
    """With the same seed, arrivals and stragglers come out as in the run; service times are those of its tasks."""
    same = (
        "load.queries=150",
        "load.warmup=20",
        "redundancy=[parity,equal_resources]",
        "tracker=none",
        "straggler=shuffle",
    )
    assert run("serve", f"run={trained()}", "pool.service_time_ms=8", *same) == 0
    (served,) = run_dirs(folder, "serve")
    assert run("simulate", f"simulate.calibrate={served}", *same) == 0
    run_dir = one_run(folder)
    for name in ("arrivals.csv", "straggler-trace.csv"):
        assert (run_dir / name).read_text() == (served / name).read_text()
    values = metrics(run_dir)
    assert values["simulate/service_time_ms"] == metrics(served)["serve/service_time_ms"]
    tasks, measured = (pd.read_parquet(path / "tasks-equal_resources.parquet") for path in (run_dir, served))
    shortest = [(table["finished_s"] - table["started_s"]).min() for table in (tasks, measured)]
    assert shortest[0] >= 0.008 and shortest[0] == pytest.approx(shortest[1], rel=0.05)
    assert (tasks["started_s"] > tasks["placed_s"]).all()


REFUSED = [
    (["straggler=contention"], ["contention", "straggler=slowdown"]),
    (["straggler=multitenancy"], ["tenant", "straggler=trace"]),
    (["pool.service_time_ms=0"], ["pool.service_time_ms=0", "above 0"]),
    (["simulate.seeds=0"], ["simulate.seeds=0", "1 or more"]),
    (["simulate.processes=0"], ["simulate.processes=0"]),
    (["simulate.prefetch=0"], ["simulate.prefetch=0"]),
    (["simulate.network_ms=-1"], ["simulate.network_ms=-1"]),
    (["simulate.restart_ms=soon"], ["simulate.restart_ms=soon"]),
    (["distribution@simulate.service_time=pareto", "simulate.service_time.shape=1"], ["service_time", "finite"]),
    (["distribution@simulate.service_time=exponential", "simulate.service_time.mean=-1"],
     ["simulate.service_time.mean=-1"]),
    (["distribution@simulate.network=empirical"], ["simulate.network.path=null", "CSV"]),
    (["simulate.calibrate=nowhere"], ["simulate.calibrate=nowhere", "not a run directory", "`serve`"]),
    (["simulate.calibrates=x"], ["simulate.calibrate"]),
    (["redundancy=nosuch"], ["redundancy/nosuch", "shared_parity"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_cannot_be_simulated_is_refused_in_one_line(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    line = refuse(run, capfd, *arguments)
    assert all(word in line for word in words), line
    assert not run_dirs(folder, "simulate")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_recorded(folder: Path) -> None:
    job = start(folder, "simulate", "tracker=none", "load.queries=3000000", "redundancy=[none]", "straggler=none")
    deadline_s = time.monotonic() + 60
    while not list((folder / "outputs").rglob("arrivals.csv")) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    time.sleep(1)
    job.send_signal(signal.SIGINT)
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 130 and "interrupted" in output and "Traceback" not in output
    table = pd.read_parquet(one_run(folder) / "queries-none.parquet")
    assert 0 < len(table) < 3_000_000
    assert write_report(one_run(folder)).is_file()


@pytest.mark.slow
def test_a_killed_job_leaves_no_process_behind(folder: Path) -> None:
    endless = ("load.queries=30000000", "redundancy=[none]", "straggler=none", "simulate.seeds=2")
    job = start(folder, "simulate", "tracker=none", "simulate.processes=2", *endless)
    wait_until(lambda: len(session(job.pid)) >= 3)
    kill(job.pid)
    wait_until(lambda: not session(job.pid))
