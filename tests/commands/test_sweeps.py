"""Sweeps by the launchers and the sweeper that are extras; each test needs its extra installed."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import QUICK, Run, start
from tests.tracking.wandb_file import read_run


def test_jobs_in_processes_side_by_side_share_a_base_model_and_track_a_run_each(folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="parity_exp[joblib] is not installed")
    job = start(folder, "train", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "k=2,3", *QUICK)
    output, _ = job.communicate(timeout=200)
    assert job.returncode == 0, output
    runs = [read_run(path) for path in folder.rglob("*.wandb")]
    assert sorted(tracked.config["k"] for tracked in runs) == [2, 3]
    assert len({tracked.group for tracked in runs}) == 1
    assert len(list((folder / "outputs" / "base").glob("*/base.ckpt"))) == 1
    (table,) = folder.rglob("sweep.csv")
    assert pd.read_csv(table)["k"].tolist() == [2, 3]


def test_submitits_jobs_are_processes_of_their_own(folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="parity_exp[submitit] is not installed")
    # The launcher for Slurm needs a cluster; this one is the same but for where it starts the jobs.
    two = ("hydra.launcher.tasks_per_node=2", "trainer=ddp_cpu")  # which train together
    job = start(folder, "train", "-m", "hydra/launcher=submitit_local", "k=2", *QUICK, "tracker=none", *two)
    output, _ = job.communicate(timeout=200)
    assert job.returncode == 0, output
    assert len(list(folder.rglob("metrics.json"))) == 1


def test_slurms_launcher_can_be_chosen(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="parity_exp[submitit] is not installed")
    assert run("train", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "--cfg", "hydra") == 0
    assert "partition: gpu" in capsys.readouterr().out


def test_optuna_maximises_what_a_job_returns(run: Run, folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="parity_exp[optuna] is not installed")
    sweeper = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=3"]
    assert run("train", "-m", *sweeper, "k=choice(2,3)", *QUICK, "tracker=none") == 0
    (found,) = folder.rglob("optimization_results.yaml")
    table = pd.read_csv(found.parent / "sweep.csv")
    assert len(table) == 3
    assert yaml.safe_load(found.read_text())["best_value"] == pytest.approx(table["test/degraded_accuracy"].max())
