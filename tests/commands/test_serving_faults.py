"""What happens to a serving job when processes die, hang and raise, or somebody stops the job itself."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from parity_exp.experiment.components import build
from parity_exp.experiment.config_folder import config_folder
from tests.child_signals import heard_by_default
from tests.commands.processes import instances, kill, session, wait_until
from tests.conftest import QUICK, Run, Trained, metrics, run_dirs, start
from tests.tracking.wandb_file import read_run
from tests.warm_start import Job

SMALL = ("tracker=none", "straggler=none", "load.warmup=0", "pool.service_time_ms=3")


ALL_BUT_ONE = 5
"""Of four base instances and two more for k = 2."""


def serve(folder: Path, *arguments: str) -> Job:
    return start(folder, "serve", *arguments)


def serve_from_scratch(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """The program itself, all imports included, as the leader of a session like other jobs."""
    return subprocess.Popen(
        [sys.executable, "-m", "parity_exp", "serve", *arguments],
        cwd=folder,
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "PYTHONUNBUFFERED": "1"},
        stdout=(folder / "shown").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=heard_by_default,
    )


def shown(folder: Path) -> str:
    return (folder / "shown").read_text()


def finish(folder: Path, job: "Job | subprocess.Popen[bytes]", status: int = 0) -> str:
    job.wait(120)
    output = shown(folder)
    assert job.returncode == status, output
    assert "Traceback" not in output
    wait_until(lambda: not session(job.pid), 10)
    return output


def the_run(folder: Path) -> Path:
    (run_dir,) = run_dirs(folder, "serve")
    return run_dir


def check_answers(run_dir: Path, policy: str, count: int) -> pd.DataFrame:
    """Every query was answered, once."""
    values = metrics(run_dir)
    assert values[f"serve/{policy}/lost"] == values[f"serve/{policy}/duplicates"] == 0
    queries = pd.read_parquet(run_dir / f"queries-{policy}.parquet")
    assert queries["query"].tolist() == list(range(count))
    return queries


@pytest.mark.slow
def test_random_instances_are_killed_and_nothing_is_lost(folder: Path, trained: Trained) -> None:
    load = ("load.queries=600", "load.rate_qps=300", "redundancy=[parity,hedged]", "load.slo_ms=5000")
    job = serve(folder, f"run={trained()}", *SMALL, *load, "pool.max_failures=100")
    victims, chance = 0, random.Random(0)
    while job.poll() is None:
        alive = sorted(instances(job.pid).values())
        if len(alive) >= ALL_BUT_ONE:  # fewer are the measurement of the service time, or have not come back
            kill(chance.choice(alive))
            victims += 1
        time.sleep(0.2)
    finish(folder, job)
    assert victims > 5
    lost = 0
    for policy in ("parity", "hedged"):
        queries = check_answers(the_run(folder), policy, 600)
        assert set(queries["source"]) <= {"own", "reconstructed"}
        lost += (pd.read_parquet(the_run(folder) / f"tasks-{policy}.parquet")["outcome"] == "lost").sum()
    assert lost > 0


@pytest.mark.slow
def test_instances_that_hang_are_replaced(folder: Path, trained: Trained) -> None:
    load = ("load.queries=250", "load.rate_qps=100", "redundancy=[equal_resources]", "load.slo_ms=null")
    job = serve(folder, f"run={trained()}", *SMALL, *load, "pool.hang_timeout_s=0.6")
    wait_until(lambda: "/250" in shown(folder))
    time.sleep(0.5)
    stopped = [instances(job.pid)["instance-1"], instances(job.pid)["instance-4"]]
    for pid in stopped:
        kill(pid, signal.SIGSTOP)
    output = finish(folder, job)
    assert output.count("is down: no sign of life for pool.hang_timeout_s=0.6") == 2
    queries = check_answers(the_run(folder), "equal_resources", 250)
    assert set(queries["source"]) == {"own"}
    assert queries["latency_ms"].max() > 300


RAISING = """
import multiprocessing
from parity_exp.models import MLP

class Picky(MLP):
    def __init__(self, input_shape, outputs, mark: float) -> None:
        super().__init__(input_shape, outputs, [20])
        self.mark = mark

    def forward(self, inputs):
        served = multiprocessing.current_process().name.startswith("instance")
        if served and (inputs.flatten(1).sum(1) - self.mark).abs().min() < 1e-3:
            raise ArithmeticError("cannot digest this one")
        return super().forward(inputs)
"""


@pytest.mark.slow
def test_a_model_that_raises_on_one_query_spoils_no_other(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = OmegaConf.load(config_folder() / "dataset" / "digits.yaml").dataset
    splits = build(OmegaConf.merge(settings, {"limit": 400}), "dataset").load()
    inputs = splits.normalise(splits.test.inputs)
    total = len(inputs)
    mark = float(inputs[30].sum())
    assert int(((inputs.flatten(1).sum(1) - mark).abs() < 1e-3).sum()) == 1
    path = folder / "my_conf" / "architecture" / "picky.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"_target_: picky.Picky\nmark: {mark!r}\n")
    (folder / "picky.py").write_text(RAISING)
    monkeypatch.syspath_prepend(folder)
    mine = ("hydra.searchpath=[file://my_conf]", "architecture=picky", "architecture@parity.architecture=mlp")
    assert run("train", *QUICK, "tracker=none", *mine) == 0
    (train_dir,) = run_dirs(folder)
    load = (f"load.queries={total}", "load.rate_qps=300", "pool.service_time_ms=0")
    assert run("serve", f"run={train_dir}", "trust=[picky]", *SMALL, *load, "redundancy=[equal_resources,parity]") == 0
    for policy, source in (("equal_resources", "error"), ("parity", "reconstructed")):
        queries = check_answers(the_run(folder), policy, total)
        tasks = pd.read_parquet(the_run(folder) / f"tasks-{policy}.parquet")
        (spoilt,) = tasks.query("outcome == 'raised'")["batch"].unique()
        assert queries.loc[spoilt, "source"] == source
        assert set(queries.drop(spoilt)["source"]) <= {"own", "reconstructed"}


@pytest.mark.slow
def test_a_checkpoint_that_vanishes_fails_the_run_with_its_name(folder: Path, copied: Path) -> None:
    load = ("load.queries=100", "load.rate_qps=200", "redundancy=[none,parity]")
    job = serve(folder, f"run={copied}", *SMALL, *load)
    wait_until(lambda: list(folder.glob("outputs/serve/*/*/straggler-trace.csv")))
    (copied / "checkpoints" / "parity-0.ckpt").unlink()
    began_s = time.monotonic()
    output = finish(folder, job, 2)
    assert time.monotonic() - began_s < 30
    assert "parity-0.ckpt: no such file" in output.splitlines()[-1]
    assert len(pd.read_parquet(the_run(folder) / "queries-none.parquet")) == 100


@pytest.mark.slow
def test_ctrl_c_before_anything_is_written_leaves_nothing(folder: Path, trained: Trained) -> None:
    job = serve_from_scratch(folder, f"run={trained()}", *SMALL, "redundancy=[none]")
    wait_until(lambda: list(folder.rglob("overrides.yaml")))
    time.sleep(0.3)  # now it imports torch
    os.killpg(job.pid, signal.SIGINT)
    finish(folder, job, 130)
    assert not list(folder.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("moment", "tracker"),
    [("*/*/config.yaml", "none"), ("**/straggler-trace.csv", "wandb"), ("**/queries-none.parquet", "wandb")],
)
@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_what_was_recorded(
    folder: Path, trained: Trained, moment: str, tracker: str
) -> None:
    """At start-up, while the first policy is served, and while its recordings are written."""
    writing = moment.endswith("parquet")
    load = ("load.queries=100" if writing else "load.queries=100000", "load.rate_qps=300", "redundancy=[none,parity]")
    job = serve(folder, f"run={trained()}", *SMALL, *load, f"tracker={tracker}")
    wait_until(lambda: list((folder / "outputs" / "serve").glob(moment)))
    if "trace" in moment:
        wait_until(lambda: "/100000" in shown(folder))
        time.sleep(1.5)
    os.killpg(job.pid, signal.SIGINT)
    output = finish(folder, job, 130)
    assert output.splitlines()[-1].endswith("interrupted")
    assert not list(folder.rglob("*.part"))
    recordings = sorted(path.name for path in the_run(folder).glob("*.parquet"))
    if tracker == "wandb":
        assert recordings[:1] == ["queries-none.parquet"] and "tasks-none.parquet" in recordings
        assert len(pd.read_parquet(the_run(folder) / "queries-none.parquet")) > 20
        (path,) = the_run(folder).rglob("*.wandb")
        assert read_run(path).exit_code == 1


@pytest.mark.slow
def test_instances_and_helpers_end_by_themselves_when_the_job_is_killed(folder: Path, trained: Trained) -> None:
    helpers = ("straggler=[contention]", "straggler.contention.process.size=8", "straggler.contention.duty=0.1")
    load = ("load.queries=100000", "load.rate_qps=100", "redundancy=[parity]")
    job = serve(folder, f"run={trained()}", *SMALL, *load, *helpers)
    wait_until(lambda: "/100000" in shown(folder))
    kill(instances(job.pid)["instance-2"], signal.SIGSTOP)
    kill(job.pid)
    job.wait(10)
    wait_until(lambda: not session(job.pid), 10)


@pytest.mark.slow
def test_more_instances_than_cores_serve_as_well(folder: Path, trained: Trained, run: Run) -> None:
    load = ("load.queries=300", "pool.instances=6", "pool.service_time_ms=20", "load.utilisation=0.4")
    assert run("serve", f"run={trained()}", *SMALL, *load, "redundancy=[parity]") == 0
    check_answers(the_run(folder), "parity", 300)
    assert metrics(the_run(folder))["serve/parity/instances"] == 9


@pytest.mark.slow
def test_a_soak_with_kills_loses_nothing(folder: Path, trained: Trained, run: Run) -> None:
    """The whole of it, 20,000 queries and a kill a second, is the same with larger numbers."""
    policies = ("parity", "shared_parity", "hedged", "equal_resources")
    load = ("load.queries=1500", "load.utilisation=0.6", f"redundancy=[{','.join(policies)}]", "load.slo_ms=null")
    crash = ("straggler=[crash]", "straggler.crash.interval_s=0.2")
    assert run("serve", f"run={trained()}", *SMALL, *load, *crash) == 0
    for policy in policies:
        queries = check_answers(the_run(folder), policy, 1500)
        assert set(queries["source"]) <= {"own", "reconstructed"}
        outcomes = pd.read_parquet(the_run(folder) / f"tasks-{policy}.parquet")["outcome"]
        assert set(outcomes) <= {"done", "lost"}
