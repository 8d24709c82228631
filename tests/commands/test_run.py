"""From one config to a report: ``run`` trains, evaluates, serves and draws into one run directory."""

from pathlib import Path

import pandas as pd
import pytest

from tests.commands.test_serve import BRISK, closed
from tests.conftest import QUICK, Run, metrics, run_dirs


@pytest.mark.slow
def test_everything_is_in_one_run_directory(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    policies = "redundancy=[equal_resources,approximate_backup,parity]"
    assert run("run", *QUICK, *BRISK, "backup.max_epochs=1", policies) == 0
    (run_dir,) = run_dirs(folder, "run")
    values = metrics(run_dir)
    assert {"test/degraded_accuracy", "train/epochs", "serve/parity/latency_ms/p99.9", "serve/utilisation"} <= set(
        values
    )
    for name in (
        "config.yaml", "environment.json", "history.csv", "backup_history.csv", "report.html", "straggler-trace.csv",
        "arrivals.csv", "checkpoints/base.ckpt", "checkpoints/parity-0.ckpt", "checkpoints/backup.ckpt",
        "queries-parity.parquet", "figures/groups.png", "figures/latency_ccdf.png",
    ):  # fmt: skip
        assert (run_dir / name).stat().st_size > 0, name
    tracked = {one.job_type: one for one in map(closed, run_dir.rglob("*.wandb"))}
    assert set(tracked) == {"train", "serve"}
    assert {one.exit_code for one in tracked.values()} == {0}
    assert "serve/parity/latency_ms/p99.9" in tracked["serve"].summary
    page = (run_dir / "report.html").read_text()
    assert "degraded accuracy" in page and "approximate_backup" in page and 'src="http' not in page
    assert str(run_dir / "report.html") in capfd.readouterr().out

    # Such a run can be served again, with its small model.
    assert run("serve", f"run={run_dir}", "tracker=none", "redundancy=[approximate_backup]", "load.queries=30") == 0
    (served,) = run_dirs(folder, "serve")
    assert not (served / "checkpoints").exists()
    assert len(pd.read_parquet(served / "queries-approximate_backup.parquet")) == 30
    # Another small model is trained when it is asked for.
    assert run("serve", f"run={served}", "tracker=none") == 2
    other = ("architecture@backup.architecture=mlp", "redundancy.approximate_backup.delay_ms=0")
    choice = ("redundancy=[approximate_backup]", "load.queries=30")
    assert run("serve", f"run={run_dir}", "tracker=none", *other, *choice) == 0
    assert (run_dirs(folder, "serve")[-1] / "checkpoints" / "backup.ckpt").is_file()


@pytest.mark.slow
def test_a_sweep_of_whole_experiments_ends_with_a_table(run: Run, folder: Path) -> None:
    sweep = ("k=2,3", "redundancy=[parity]", "tracker=none")
    assert run("run", "-m", *QUICK, *BRISK, "load.queries=20", *sweep) == 0
    (table,) = folder.rglob("sweep.csv")
    assert pd.read_csv(table)["serve/parity/instances"].tolist() == [3, 3]
    assert len(list(folder.rglob("report.html"))) == 2
