"""What is done beside a job's work may fail: there is one warning, and the work is done."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from parity_exp.tracking import Guarded, Job, NoTracker
from tests.conftest import Run

SIMULATE = ("simulate", "load.queries=200", "load.warmup=0", "redundancy=none", "hydra.run.dir=run")
METHODS = ("start", "epoch", "results", "figures", "checkpoints", "finish")

FAILURES = [
    OSError(errno.ENOSPC, "No space left on device", "/run/figures/x.png"),
    PermissionError(errno.EACCES, "Permission denied", "/nohome/.local/share"),
    ValueError("a label that Matplotlib cannot parse"),
    RuntimeError(""),
    KeyError("latency_ms"),
    BrokenPipeError(),
]

PLACES = [
    "parity_exp.analysis.figures.serving.serving_figures",
    "parity_exp.analysis.figures.files.write_bytes",
    "parity_exp.commands.simulate.write_report",
    "parity_exp.analysis.tables.terminal.Console",
]


def failing(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("place", PLACES)
def test_a_job_is_done_whatever_fails_beside_it(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, capfd: Any
) -> None:
    monkeypatch.setattr(place, failing(FAILURES[0]))
    assert run(*SIMULATE, "tracker=none") == 0
    shown = capfd.readouterr()
    assert "No space left" in shown.out and "Traceback" not in shown.out + shown.err
    assert json.loads(Path("run", "metrics.json").read_text())
    assert not [path for path in Path("run").rglob("*") if path.suffix == ".part"]


def test_metrics_and_page_are_written_before_anything_is_shown(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[set[str]] = []

    def look(*_: object, **__: object) -> None:
        found.append({path.name for path in Path("run").iterdir()})

    monkeypatch.setattr("parity_exp.scenario.result.show", look)
    assert run(*SIMULATE, "tracker=none") == 0
    assert found and {"metrics.json", "report.html", "figures"} <= found[0]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_a_tracker_that_fails_is_told_no_more_but_closed(
    method: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    class Failing(NoTracker):
        def __getattribute__(self, name: str) -> Any:
            if name in METHODS:
                told.append(name)
                return failing(error) if name == method else lambda *_: None
            return super().__getattribute__(name)

    tracker = Guarded(Failing())
    tracker.start(Job("train", Path("x"), {}))
    tracker.epoch("coded", {"epoch": 1})
    tracker.results({}, {})
    tracker.figures([])
    tracker.checkpoints([])
    tracker.finish(True)
    assert told == [*METHODS[: METHODS.index(method) + 1], *(["finish"] if method != "finish" else [])]
    assert len(caplog.records) == 1 and type(error).__name__ in caplog.text and "Failing" in caplog.text


def test_a_tracker_of_ones_own_that_fails_does_not_end_the_job(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("parity_exp.tracking.CsvTracker.results", failing(FAILURES[1]))
    assert run(*SIMULATE, "tracker=csv") == 0
    assert capfd.readouterr().out.count("not tracked") == 1
    assert Path("run", "metrics.json").is_file()


def test_a_table_of_all_jobs_that_is_damaged_does_not_end_the_job(run: Run, folder: Path) -> None:
    Path("outputs").mkdir()
    Path("outputs", "jobs.csv").write_bytes(b'\x00"\xff')
    assert run(*SIMULATE, "tracker=csv") == 0
    assert Path("run", "metrics.json").is_file()


@pytest.mark.parametrize("value", ["tracker.project=[a]", "tracker.nosuch=1", "tracker._target_=nosuch.Tracker"])
def test_a_tracker_that_is_chosen_wrongly_is_refused(run: Run, folder: Path, value: str) -> None:
    given = value.replace("tracker.nosuch", "+tracker.nosuch")
    assert run(*SIMULATE, "tracker=wandb", given) == 2


@pytest.mark.slow
def test_a_job_runs_without_the_packages_of_trackers_and_clusters(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import builtins
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] in ("wandb", "ray")]:
        monkeypatch.delitem(sys.modules, name)
    importing = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("wandb", "ray"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    for number, tracker in enumerate(("none", "csv", "wandb")):
        assert run(*SIMULATE[:-1], f"hydra.run.dir=run{number}", f"tracker={tracker}") == 0
    shown = capfd.readouterr().out
    assert shown.count("No module named 'wandb'") == 1


def test_metadata_that_are_missing_are_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from parity_exp.recordings.run_directory import RunDirectory

    version = metadata.version

    def missing(name: str) -> str:
        if name == "wandb":
            raise metadata.PackageNotFoundError(name)
        if name == "numpy":
            raise KeyError("Version")
        return version(name)

    monkeypatch.setattr(metadata, "version", missing)
    RunDirectory(tmp_path).write_environment(0, [])
    packages = json.loads((tmp_path / "environment.json").read_text())["packages"]
    assert {"hydra-core", "pandas"} < packages.keys()
    assert packages["wandb"] is packages["numpy"] is None and packages["torch"]


def test_without_metadata_of_its_own_a_few_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from parity_exp.recordings.run_directory import RunDirectory

    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    RunDirectory(tmp_path).write_environment(0, [])
    assert json.loads((tmp_path / "environment.json").read_text())["packages"]["torch"]


@pytest.mark.skipif(os.name != "posix", reason="needs a path that nobody can write to")
@pytest.mark.slow
def test_a_home_that_cannot_be_written_to_does_not_end_the_job(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/proc/nobody")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert run(*SIMULATE, "tracker=wandb") == 0
    assert {"metrics.json", "report.html"} <= {path.name for path in Path("run").iterdir()}
