"""``report`` on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from parity_exp.commands.report import patterns_of
from parity_exp.errors import ConfigError
from tests.analysis.many_runs import write_many_runs
from tests.conftest import QUICK, Run


def pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/report/*/*/report.html"))


@pytest.mark.draws
@pytest.mark.slow
def test_a_report_on_runs_of_this_folder(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", "-m", "encoder=addition,concat", *QUICK, "tracker=none") == 0
    assert run("report", "runs=outputs/**") == 0
    (page,) = pages(folder)
    assert f"report: {page.relative_to(folder)}" in capfd.readouterr().out
    text = page.read_text()
    assert "2 runs; digits; MLP; addition, concatenation; k = 2" in text
    assert "encoder" in text and "AdditionEncoder (1), ConcatenationEncoder (1)" in text
    names = {path.name for path in page.parent.iterdir()}
    assert {"runs.csv", "runs.parquet", "figures"} <= names
    assert "config.yaml" not in names
    assert not (page.parent / "wandb").exists()


@pytest.mark.slow
def test_all_runs_below_outputs_where_nothing_is_said(run: Run, folder: Path) -> None:
    write_many_runs(folder / "elsewhere", 3, 2)
    assert run("report", "outputs=elsewhere") == 0
    assert run("report", "runs=[elsewhere/serve/**,elsewhere/train]") == 0
    assert run("report", "runs='elsewhere/serve/**, elsewhere/train'") == 0
    assert [path.read_text().count("5 runs;") > 0 for path in pages(folder)] == [True, True]
    assert len(list(folder.glob("elsewhere/report/*/*/report.html"))) == 1


@pytest.mark.parametrize("runs", ["outputs/**", "nowhere", "[nowhere/**,outputs]"])
def test_no_runs_are_explained_in_one_line(
    run: Run, folder: Path, runs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("report", f"runs={runs}") == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "runs=" in error and "no run directories" in error and "runs='FOLDER/**'" in error
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize("runs", ["", " , ", [], [1], "a,,b", 3.5])
def test_patterns_that_are_none_are_refused(runs: object) -> None:
    if runs == 3.5:
        assert patterns_of(runs, "outputs") == ["3.5"]
    else:
        with pytest.raises(ConfigError, match="runs="):
            patterns_of(runs, "outputs")


@pytest.mark.slow
def test_a_report_does_not_wait_for_torch(folder: Path) -> None:
    write_many_runs(folder / "outputs", 2, 1)
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("raise ImportError('a report needs no torch')")
    command = [sys.executable, "-m", "parity_exp", "report"]
    job = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert job.returncode == 0, job.stderr
