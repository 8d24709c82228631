"""Serving trained runs with real processes: files, metrics, all choices of all groups, and what comes from outside."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from parity_exp.policies.policy import SOURCES
from tests.commands.processes import wait_until
from tests.conftest import QUICK, WITH_A_FORK_SERVER, Run, Trained, metrics, run_dirs
from tests.tracking.wandb_file import TrackedRun, read_run

BRISK = (
    "load.queries=60", "load.warmup=10", "load.rate_qps=400", "pool.instances=2", "pool.service_time_ms=3",
    "straggler=none",
)  # fmt: skip
"""Overrides that make serving under one policy take a fraction of a second."""

ALL = "redundancy=[none,equal_resources,replication,hedged,approximate_backup,parity,shared_parity]"


def queries(run_dir: Path, policy: str) -> pd.DataFrame:
    return pd.read_parquet(run_dir / f"queries-{policy}.parquet")


def closed(path: Path) -> TrackedRun:
    """A W&B run's file once W&B, which writes it in its own time, has written its end."""
    wait_until(lambda: read_run(path).exit_code is not None, 20)
    return read_run(path)


def slow(path: Path, *instances: int, extra_ms: float = 100, factor: float = 1) -> str:
    """A straggler trace of instances that are slow all the time."""
    rows = [f"{instance},0,1000,{factor},{extra_ms}\n" for instance in instances]
    path.write_text("instance,start_s,end_s,factor,extra_ms\n" + "".join(rows))
    return f"straggler.trace.path={path}"


@pytest.mark.draws
@pytest.mark.xdist_group(WITH_A_FORK_SERVER)
def test_a_serving_run_leaves_what_the_contract_says(run: Run, folder: Path, trained: Trained) -> None:
    assert run("serve", f"run={trained()}", *BRISK, "redundancy=[equal_resources,parity]") == 0
    (run_dir,) = run_dirs(folder, "serve")
    for name in (
        "config.yaml", ".hydra/overrides.yaml", "metrics.json", "environment.json", "report.html", "arrivals.csv",
        "straggler-trace.csv", "figures/latency_ccdf.png", "figures/accuracy_against_tail.png",
        "figures/accuracy_against_slo.png",
        "figures/answer_sources.png", "figures/latency_over_time.png", "figures/instance_timeline-parity.png",
        "figures/instance_timeline-equal_resources.png",
    ):  # fmt: skip
        assert (run_dir / name).stat().st_size > 0, name
    values = metrics(run_dir)
    for policy in ("equal_resources", "parity"):
        table = queries(run_dir, policy)
        assert table["query"].tolist() == list(range(10, 70))
        assert (table["sent_s"] >= table["scheduled_s"]).all() and (table["completed_s"] > table["sent_s"]).all()
        assert np.allclose(table["latency_ms"], (table["completed_s"] - table["scheduled_s"]) * 1000)
        assert (table["correct"] == (table["predicted"] == table["label"])).all()
        assert (run_dir / f"latency-{policy}.hlog").read_text().startswith("#[Histogram log format version 1.2]")
        tasks = pd.read_parquet(run_dir / f"tasks-{policy}.parquet")
        assert set(tasks["outcome"]) == {"done"} and (tasks["finished_s"] - tasks["started_s"] >= 0.003).all()
        prefix = f"serve/{policy}"
        latencies = {f"{prefix}/latency_ms/{name}" for name in ("p50", "p90", "p99", "p99.5", "p99.9", "mean", "max")}
        shares = {f"{prefix}/fraction/{name}" for name in SOURCES}
        assert latencies | shares <= values.keys()
        assert values[f"{prefix}/queries"] == 60 and values[f"{prefix}/lost"] == values[f"{prefix}/duplicates"] == 0
        assert values[f"{prefix}/instances"] == 3 and values[f"{prefix}/throughput_qps"] > 0
        assert values[f"{prefix}/accuracy"] == table["correct"].mean()
        assert sum(values[name] for name in shares) == pytest.approx(1)
    assert values["serve/parity/encode_us"] > 0 and "serve/equal_resources/encode_us" not in values
    assert len(pd.read_csv(run_dir / "arrivals.csv")) == 70


@pytest.mark.slow
def test_a_serving_run_is_tracked(run: Run, folder: Path, trained: Trained) -> None:
    assert run("serve", f"run={trained()}", "tracker=wandb", *BRISK, "redundancy=[none,parity]") == 0
    (run_dir,) = run_dirs(folder, "serve")
    (path,) = run_dir.rglob("*.wandb")
    tracked = closed(path)
    assert (tracked.job_type, tracked.exit_code) == ("serve", 0)
    for name, value in metrics(run_dir).items():
        assert tracked.summary[name] == pytest.approx(value)
    # W&B writes what is logged as objects or, flattened, as a number of values.
    logged = {key: value for row in tracked.history for key, value in row.items()}
    kinds = {key: value.get("_type") if isinstance(value, dict) else value for key, value in logged.items()}
    assert "table-file" in (kinds.get("serving"), kinds.get("serving/_type"))
    for name in ("figures/latency_ccdf", "figures/instance_timeline-parity"):
        assert "image-file" in (kinds.get(name), kinds.get(f"{name}/_type"))


@pytest.mark.slow
def test_every_policy_answers_every_query_of_the_same_arrivals(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    policies = ALL.partition("[")[2].strip("]").split(",")
    overrides = ("tracker=none", ALL, *BRISK, "backup.max_epochs=2")
    assert run("serve", f"run={trained()}", *overrides) == 0
    shown = capfd.readouterr().out
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    instances = {policy: values[f"serve/{policy}/instances"] for policy in policies}
    assert instances == dict(zip(policies, (2, 3, 4, 3, 3, 3, 3), strict=True))
    first = queries(run_dir, "none")
    for policy in policies:
        assert policy in shown
        table = queries(run_dir, policy)
        assert len(table) == 60 and values[f"serve/{policy}/lost"] == values[f"serve/{policy}/duplicates"] == 0
        assert table[["scheduled_s", "label"]].equals(first[["scheduled_s", "label"]])
    assert (run_dir / "checkpoints" / "backup.ckpt").is_file()
    (cached,) = (folder / "outputs" / "base").glob("*/base.ckpt")
    trained_at = cached.stat().st_mtime_ns
    assert run("serve", f"run={trained()}", *overrides, "redundancy=[approximate_backup]") == 0
    assert [path.stat().st_mtime_ns for path in (folder / "outputs" / "base").glob("*/base.ckpt")] == [trained_at]


@pytest.mark.slow
def test_late_answers_are_given_by_the_code_and_by_the_backup(run: Run, folder: Path, trained: Trained) -> None:
    late = ("straggler=[trace]", slow(folder / "trace.csv", 0, extra_ms=300))
    policies = "redundancy=[none,approximate_backup,parity]"
    choices = ("redundancy.approximate_backup.delay_ms=20",)
    backup = ("backup.max_epochs=2", "load.rate_qps=50", "load.warmup=0")
    assert run("serve", f"run={trained()}", "tracker=none", *BRISK, *late, policies, *choices, *backup) == 0
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    assert values["serve/approximate_backup/fraction/backup"] > 0
    assert values["serve/parity/fraction/reconstructed"] > 0
    rebuilt = queries(run_dir, "parity").query("source == 'reconstructed'")
    assert rebuilt["latency_ms"].median() < queries(run_dir, "none")["latency_ms"].max()


@pytest.mark.slow
def test_wrong_answers_reach_clients_unless_a_policy_notices(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    corrupt = ("straggler=[corrupt]", "straggler.corrupt.instances=[0]", "straggler.corrupt.probability=1")
    policies = "redundancy=[none,checked_parity,checked_shared_parity,voted_parity,voted_replication]"
    load = ("load.queries=120", "load.rate_qps=200", "redundancy.voted_replication.wait_ms=1000")
    long = ("redundancy.voted_parity.wait_ms=1000", "redundancy.checked_shared_parity.load_limit=10")
    given = (*BRISK, *corrupt, *load, *long, policies)
    linear = ("recipe=parm", "scheduler=one_cycle", "initialisation=default", "trainer.max_epochs=8")
    assert run("serve", f"run={trained('r=2', *linear)}", "tracker=none", *given) == 0
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    none, checked, shared, voted, copies = (
        {name: values.get(f"serve/{policy}/{name}", -1) for name in
         ("fraction/corrupted", "fraction/unnoticed", "accuracy", "checks", "detection_rate", "false_alarm_rate")}
        for policy in ("none", "checked_parity", "checked_shared_parity", "voted_parity", "voted_replication")
    )  # fmt: skip
    assert none["fraction/corrupted"] == none["fraction/unnoticed"] > 0.2 and none["checks"] == -1
    for values_of in (checked, shared):
        assert values_of["fraction/unnoticed"] < 0.5 * values_of["fraction/corrupted"]
        assert values_of["checks"] > 0 and values_of["detection_rate"] > 0.5 and values_of["false_alarm_rate"] < 0.3
    assert voted["fraction/corrupted"] < 0.5 * none["fraction/corrupted"] and voted["accuracy"] > none["accuracy"]
    assert (copies["fraction/corrupted"], copies["detection_rate"], copies["false_alarm_rate"]) == (0, 1, 0)
    for policy in ("none", "voted_parity"):
        tasks = pd.read_parquet(run_dir / f"tasks-{policy}.parquet")
        assert set(tasks.loc[tasks["corrupted"], "instance"]) == {0} and tasks.query("instance == 0")["corrupted"].all()
        assert queries(run_dir, policy)["corrupted"].mean() == values[f"serve/{policy}/fraction/corrupted"]
    assert "who noticed" in capfd.readouterr().out
    report = (run_dir / "report.html").read_text()
    assert "Wrong answers, and who noticed" in report and "no way to notice" in report


@pytest.mark.slow
def test_two_parity_models_bring_back_two_predictions(run: Run, folder: Path, trained: Trained) -> None:
    late = ("straggler=[trace]", slow(folder / "trace.csv", 0, 1, extra_ms=300))
    load = ("load.rate_qps=100", "load.warmup=0", "load.queries=64", "pool.instances=4")
    assert (
        run("serve", f"run={trained('k=4', 'r=2')}", *BRISK, *late, *load, "tracker=none", "redundancy=[parity]") == 0
    )
    (run_dir,) = run_dirs(folder, "serve")
    tasks = pd.read_parquet(run_dir / "tasks-parity.parquet")
    assert set(tasks["model"]) == {"base", "parity-0", "parity-1"}
    assert set(tasks.query("model != 'base'")["instance"]) <= {4, 5}
    by_group = queries(run_dir, "parity").query("source == 'reconstructed'").groupby("group").size()
    assert by_group.max() == 2


@pytest.mark.parametrize(
    "choices",
    [
        [
            "queue=round_robin", "redundancy=[hedged,parity]",
            "load=constant", "load.utilisation=0.5", "load.rate_qps=null",
        ],
        [
            "pool.prefetch=2", "redundancy=[shared_parity]", "pool.pin_cores=true",
            "load=bursts", "load.on_s=0.05", "load.off_s=0.05", "load.slo_ms=null",
        ],
        [
            "load=closed", "load.clients=3", "load.think_ms=1", "~load.rate_qps",
            "straggler=[slowdown,degraded]", "straggler/distribution@straggler.slowdown.distribution=pareto",
        ],
        ["straggler=[shuffle,crash]", "straggler.crash.times_s=[0.05]"],
        [
            "straggler=[contention,multitenancy]",
            "straggler.contention.instances=[0]", "straggler.contention.process.size=16",
            "straggler.multitenancy.instances=[0]", "straggler.multitenancy.process.width=8",
        ],
        ["experiment=mine", "load.queries=40"],
    ],
    ids=["constant", "bursts", "closed", "crash", "helpers", "experiment"],
)  # fmt: skip
@pytest.mark.slow
def test_choices_serve(run: Run, folder: Path, trained: Trained, choices: list[str]) -> None:
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /redundancy: [none]\n  - override /straggler: none\n"
        "load: {warmup: 0, rate_qps: 300}\npool: {instances: 2, service_time_ms: 2}\n"
    )
    base = [] if "experiment=mine" in choices else ["redundancy=[parity]", *BRISK]
    if "load=closed" in choices:
        base.remove("load.rate_qps=400")
        choices = [choice for choice in choices if choice != "~load.rate_qps"]
    given = [*base, *choices, "tracker=none", "hydra.searchpath=[file://conf]"]
    assert run("serve", f"run={trained()}", *given) == 0
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    lost = [value for name, value in values.items() if name.endswith(("/lost", "/duplicates"))]
    assert lost and set(lost) == {0}
    assert {value for name, value in values.items() if name.endswith("/queries")} <= {60, 40}


@pytest.mark.slow
def test_queries_go_in_batches_and_no_query_waits_for_one_that_does_not_come(
    run: Run, folder: Path, trained: Trained
) -> None:
    batches = ("pool.batch_size=2", "pool.batch_window_ms=4", "load.queries=61", "load.warmup=0")
    assert (
        run("serve", f"run={trained()}", "tracker=none", *BRISK, *batches, "redundancy=[equal_resources,parity]") == 0
    )
    (run_dir,) = run_dirs(folder, "serve")
    for policy in ("equal_resources", "parity"):
        base = pd.read_parquet(run_dir / f"tasks-{policy}.parquet").query("model == 'base'")
        assert 31 <= len(base) < 61
        assert set(queries(run_dir, policy)["source"]) <= {"own", "reconstructed"}
        assert len(queries(run_dir, policy)) == 61


@pytest.mark.slow
def test_arrivals_and_stragglers_come_from_the_seed_and_can_be_replayed(
    run: Run, folder: Path, trained: Trained
) -> None:
    stragglers = (
        "straggler=[slowdown,shuffle,degraded]", "straggler.slowdown.unit_ms=1", "straggler.slowdown.slot_ms=2",
        "straggler.shuffle.unit_ms=1", "straggler.shuffle.slot_ms=2", "load.queries=20",
    )  # fmt: skip
    common = ("serve", f"run={trained()}", "tracker=none", *BRISK)
    for seed, policy in ((3, "equal_resources"), (3, "parity"), (4, "equal_resources")):
        # Policies with as many instances have the same trace.
        assert run(*common, *stragglers, f"seed={seed}", f"redundancy=[{policy}]") == 0
    first, same, other = run_dirs(folder, "serve")
    replay = (
        "load=trace", f"load.path={first / 'arrivals.csv'}", "load.warmup=10", "straggler=[trace]",
        f"straggler.trace.path={first / 'straggler-trace.csv'}", "redundancy=[hedged]",
    )  # fmt: skip
    without_load = [word for word in common if not word.startswith("load.")]
    assert run(*without_load, *replay) == 0
    replayed = run_dirs(folder, "serve")[-1]
    for name in ("arrivals.csv", "straggler-trace.csv"):
        assert (first / name).read_bytes() == (same / name).read_bytes() == (replayed / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()
    assert queries(replayed, "hedged")["scheduled_s"].equals(queries(first, "equal_resources")["scheduled_s"])


@pytest.mark.slow
def test_a_sweep_over_policies_gives_each_jobs_tail_to_the_sweeper(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    remember = "+hydra.callbacks.remember._target_=tests.commands.job_values.JobValues"
    choices = "redundancy=[none],[equal_resources]"
    assert run("serve", "-m", f"run={trained()}", "tracker=none", *BRISK, choices, remember) == 0
    jobs = sorted((folder / "outputs" / "serve" / "multirun").glob("*/*/*/metrics.json"))
    policies = ("none", "equal_resources")
    tails = [metrics(job.parent)[f"serve/{name}/latency_ms/p99.9"] for job, name in zip(jobs, policies, strict=True)]
    assert [float(line) for line in Path("values.txt").read_text().split()] == tails
    (table,) = folder.rglob("sweep.csv")
    assert pd.read_csv(table)["redundancy"].tolist() == ["[none]", "[equal_resources]"]
    shown = capfd.readouterr().out
    last_table = shown.rpartition("2 jobs")[2]
    assert "p99.9" in last_table and "[equal_resources]" in last_table and "fraction" not in last_table


@pytest.mark.slow
def test_the_base_model_of_other_people_is_served(run: Run, folder: Path) -> None:
    torch.save({"state_dict": {"fc.weight": torch.randn(10, 256), "fc.bias": torch.zeros(10)}}, "foreign.pt")
    given = ("architecture=logistic", "base.checkpoint=foreign.pt")
    assert run("train", *QUICK, "tracker=none", *given) == 0
    Path("foreign.pt").unlink()
    (train_dir,) = run_dirs(folder)
    assert run("serve", f"run={train_dir}", "tracker=none", *BRISK, "redundancy=[none,parity]") == 0
    (run_dir,) = run_dirs(folder, "serve")
    assert metrics(run_dir)["serve/none/fraction/own"] == 1


MINE = """
from parity_exp.load import OpenLoad
from parity_exp.policies import EqualResources
from parity_exp.policies.policy import BASE, Work
from parity_exp.disturbances import Straggler
from parity_exp.disturbances.trace import SLOW, Disturbance
import numpy as np


class Twice(EqualResources):
    def __init__(self, k: int, r: int, copies: int) -> None:
        super().__init__(k, r)
        self.copies = copies

    def arrived(self, batch, now_s):
        for _ in range(self.copies):
            self.dispatch(Work(BASE, "base", batch))


class Slow(Straggler):
    def __init__(self, extra_ms: float) -> None:
        self.extra_ms = extra_ms

    def trace(self, instances, duration_s, random, service_s):
        return [Disturbance(SLOW, instances - 1, 0.0, duration_s, extra_ms=self.extra_ms)]


class Pairs(OpenLoad):
    def arrivals(self, rate_qps, random):
        return np.arange(self.total) // 2 * 2 / rate_qps
"""


def test_policies_stragglers_and_loads_come_from_outside_the_package(
    run: Run, folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "redundancy/mine": "mine:\n  _target_: my_serving.Twice\n  copies: 2\n",
        "straggler/mine": "mine:\n  _target_: my_serving.Slow\n  extra_ms: 40\n",
        "load/mine": "_target_: my_serving.Pairs\nqueries: 50\nwarmup: 0\nrate_qps: 100\nslo_ms: 1000\n",
    }
    for name, text in texts.items():
        path = folder / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (folder / "my_serving.py").write_text(MINE)
    monkeypatch.syspath_prepend(folder)
    given = ("hydra.searchpath=[file://my_conf]", "redundancy=[equal_resources,mine]", "straggler=[mine]", "load=mine")
    pool = ("pool.instances=2", "pool.service_time_ms=3")
    assert run("serve", f"run={trained()}", "tracker=none", *pool, *given) == 0
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    assert values["serve/mine/instances"] == 3 and values["serve/mine/lost"] == 0
    assert len(pd.read_parquet(run_dir / "tasks-mine.parquet")) > 50
    assert (np.diff(queries(run_dir, "mine")["scheduled_s"])[::2] == 0).all()
    assert queries(run_dir, "equal_resources").query("instance == 2")["latency_ms"].min() > 40
    assert (run_dir / "figures" / "instance_timeline-mine.png").is_file()
