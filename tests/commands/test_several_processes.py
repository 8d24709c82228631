"""Training in several processes: started by the command itself, or from outside, as on several machines."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from parity_exp.errors import ConfigError
from tests.child_signals import heard_by_default
from tests.conftest import Run, metrics, run_dirs, start
from tests.tracking.wandb_file import read_run

pytestmark = pytest.mark.timeout(900)

TWO = ("trainer=ddp_cpu", "dataset.limit=400", "trainer.max_epochs=2", "base.max_epochs=2")

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep over k, each job of which has trained in two processes."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        job = start(folder, "train", "-m", "k=2,3", *TWO)
    output, _ = job.communicate(timeout=400)
    assert job.returncode == 0, output
    return folder


@pytest.mark.slow
def test_two_processes_in_a_sweep_track_one_run_a_job(sweep: Path) -> None:
    runs = [read_run(path) for path in sweep.rglob("*.wandb")]
    assert sorted(tracked.config["k"] for tracked in runs) == [2, 3]
    assert len(list(sweep.rglob("metrics.json"))) == 2


def node(folder: Path, rank: int, port: int, *arguments: str) -> "subprocess.Popen[str]":
    """What is typed on one of two machines."""
    torchrun = ("torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}")
    place = ("--master-addr=127.0.0.1", f"--master-port={port}")
    return subprocess.Popen(
        [sys.executable, "-m", *torchrun, *place, "-m", "parity_exp", *arguments],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heard_by_default,
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def two_nodes(folder: Path, port: int) -> Iterator[list["subprocess.Popen[str]"]]:
    nodes = [node(folder, rank, port, "train", "k=2", *TWO) for rank in (0, 1)]
    yield nodes
    for one in nodes:
        one.terminate()
        one.communicate(timeout=60)


@pytest.mark.slow
def test_torchrun_on_two_nodes_trains_what_two_processes_of_one_train(
    sweep: Path, folder: Path, two_nodes: list["subprocess.Popen[str]"]
) -> None:
    for one in two_nodes:
        output, _ = one.communicate(timeout=300)
        assert one.returncode == 0, output
    (run_dir,) = run_dirs(folder)
    (tracked,) = (read_run(path) for path in folder.rglob("*.wandb"))
    assert tracked.config["trainer"]["num_nodes"] == 2
    (other,) = (path for path in run_dirs(sweep) if path.name == "0")
    ours, theirs = (
        {k: v for k, v in metrics(path).items() if "second" not in k and not k.endswith("_us")}
        for path in (run_dir, other)
    )
    assert ours == pytest.approx(theirs, abs=1e-6)
    losses = [pd.read_csv(path / "history.csv")["train/loss"].tolist() for path in (run_dir, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_machines_that_nobody_has_started_are_not_waited_for(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", *TWO, "trainer.num_nodes=2", "tracker=none") == 2
    assert "trainer.num_nodes=2: processes on other machines are started from outside" in capsys.readouterr().err
    assert not Path("outputs", "train").exists()


def test_as_many_processes_have_to_train_as_were_started(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omegaconf import OmegaConf

    from parity_exp.experiment.machine import processes

    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    assert processes(OmegaConf.create({"strategy": "ddp", "devices": 1, "num_nodes": 3})) == 3
    with pytest.raises(ConfigError, match="ask for 1 processes, and 3 were started together"):
        processes(OmegaConf.create({"strategy": "auto", "devices": 1}))
