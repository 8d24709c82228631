"""Sweeps by the launchers and the sweeper that are extras; each test needs its extra installed."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import QUICK, Run, start
from tests.tracking.wandb_file import read_run


@pytest.mark.slow
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


@pytest.mark.slow
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


OPTUNA = ("train", "-m", "hydra/sweeper=optuna", *QUICK, "tracker=none", "recipe=parm")


@pytest.mark.slow
def test_optuna_maximises_validation_quality_and_ends_the_sweep_in_a_table(run: Run, folder: Path) -> None:
    pytest.importorskip("optuna", reason="parity_exp[optuna] is not installed")
    lines = ["hydra/sweeper/sampler=grid", "hydra.sweep.dir=s", "k=choice(2,3)"]
    assert run(*OPTUNA, *lines) == 0
    table = pd.read_csv(folder / "s" / "sweep.csv")
    found = yaml.safe_load((folder / "s" / "optimization_results.yaml").read_text())
    best = table.loc[table["train/best_val_degraded_accuracy"].idxmax()]
    assert found["best_value"] == pytest.approx(best["train/best_val_degraded_accuracy"])
    assert sorted(table["k"]) == [2, 3]
    assert run(*OPTUNA, *lines) == 0, "it has nothing left to do, and says so by doing nothing"
    assert len(list((folder / "s").glob("*/metrics.json"))) == 2
    assert run(*OPTUNA, "hydra.sweep.dir=s", "k=choice(2,3,4)") == 2, "another search"


@pytest.mark.slow
def test_optunas_pruner_ends_a_training_that_falls_behind(run: Run, folder: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="parity_exp[optuna] is not installed")
    pruner = ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweep.dir=s"]
    given = [*OPTUNA, *pruner, "hydra/sweeper/sampler=grid", "hydra.sweeper.sampler.seed=0"]
    short = ["base.max_epochs=10", "trainer.max_epochs=6", "batch_groups=8"]
    assert run(*given, *short, "optimizer.lr=choice(1e-8,1e-2)") == 0, "the good one first, with this seed"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("s/study.journal"))
    trials = optuna.load_study(study_name="sweep", storage=storage).trials
    assert len(trials) == 2
    for trial in trials:
        epochs = pd.read_csv(folder / "s" / str(trial.number) / "history.csv")["val/degraded_accuracy"].tolist()
        assert trial.intermediate_values == pytest.approx(dict(enumerate(epochs, 1)))
        finished = (folder / "s" / str(trial.number) / "metrics.json").is_file()
        assert finished == (trial.state.name == "COMPLETE") == (len(epochs) == 6)
    assert {trial.state.name: trial.params["optimizer.lr"] for trial in trials} == {
        "COMPLETE": "0.01",
        "PRUNED": "1e-08",
    }


@pytest.mark.slow
def test_a_word_that_cannot_be_is_one_line(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna", reason="parity_exp[optuna] is not installed")
    for word in ("hydra.sweeper.direction=up", "hydra/sweeper/pruner=median hydra.sweeper.direction=minimize"):
        assert run(*OPTUNA, "k=choice(2,3)", *word.split()) == 2
        assert "hydra.sweeper." in capsys.readouterr().err.splitlines()[-1]
