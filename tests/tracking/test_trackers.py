import contextlib
import os
import pty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parity_exp.tracking import Job, wandb_environment
from parity_exp.tracking.wandb_tracker import WandbTracker, logged_in
from tests.conftest import QUICK, Run, metrics, run_dirs
from tests.tracking.wandb_file import TrackedRun, read_run
from tests.warm_start import start


def test_an_offline_run_holds_config_history_summary_and_pictures(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "k=3", "tracker.tags=[quick]") == 0
    (run_dir,) = run_dirs(folder)
    (path,) = folder.rglob("*.wandb")
    tracked = read_run(path)
    assert path.is_relative_to(run_dir)
    assert (tracked.project, tracked.job_type, tracked.tags) == ("parity_exp", "train", ["quick"])
    assert tracked.config["k"] == 3 and tracked.config["trainer"]["max_epochs"] == 2
    epochs = [row["coded/epoch"] for row in tracked.history if "coded/epoch" in row]
    assert epochs == [1, 2]
    assert {"coded/train/loss", "coded/val/reconstruction_accuracy"} <= set().union(*tracked.history)
    for name, value in metrics(run_dir).items():
        assert tracked.summary[name] == pytest.approx(value)
    kinds = {
        key: value.get("_type") for row in tracked.history for key, value in row.items() if isinstance(value, dict)
    }
    assert kinds["results"] == kinds["per_class"] == "table-file"
    assert kinds["figures/groups"] == "image-file"
    assert tracked.exit_code == 0


VARIABLES = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "a-name",
    "WANDB_TAGS": "one,two",
    "WANDB_RUN_GROUP": "a-group",
    "WANDB_NOTES": "a note",
    "WANDB_JOB_TYPE": "a-type",
    "WANDB_RUN_ID": "an-id",
}


def tracked_run(folder: Path, sweep: str | None = None, **settings: Any) -> TrackedRun:
    """What W&B keeps of a job that does nothing."""
    run_dir = folder / "run"
    run_dir.mkdir()
    tracker = WandbTracker(**settings)
    tracker.start(Job("train", run_dir, {"k": 2}, sweep=sweep, name="k=2"))
    tracker.finish(True)
    (path,) = folder.rglob("*.wandb")
    return read_run(path)


@pytest.fixture
def only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets W&B's variables to some values and no others."""

    def set_variables(**values: str) -> None:
        for name in list(os.environ):
            if name.startswith("WANDB_") and name != "WANDB_SERVICE":  # where W&B's own process listens
                monkeypatch.delenv(name)
        for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", **values}.items():
            monkeypatch.setenv(name, value)

    return set_variables


def test_wandbs_variables_hold_where_the_config_says_nothing(folder: Path, only: Callable[..., None]) -> None:
    only(**VARIABLES)
    found = tracked_run(folder)
    assert (found.project, found.entity, found.name) == ("theirs", "team", "a-name")
    assert (found.tags, found.group, found.notes, found.job_type) == (["one", "two"], "a-group", "a note", "a-type")
    assert next(folder.rglob("*.wandb")).name == "run-an-id.wandb"


def test_the_config_holds_against_wandbs_variables(folder: Path, only: Callable[..., None]) -> None:
    only(**VARIABLES)
    found = tracked_run(folder, project="ours", entity="us", name="mine", tags=["three"])
    assert (found.project, found.entity, found.name, found.tags) == ("ours", "us", "mine", ["three"])


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.slow
def test_variables_without_a_value_are_none(folder: Path, only: Callable[..., None], value: str) -> None:
    only(**{name: value for name in VARIABLES if name != "WANDB_NOTES"})
    found = tracked_run(folder, sweep="a-sweep")
    assert (found.project, found.name, found.tags, found.group) == ("parity_exp", "k=2", [], "a-sweep")


@pytest.mark.slow
def test_jobs_of_a_sweep_do_not_share_an_id(folder: Path, only: Callable[..., None]) -> None:
    only(WANDB_RUN_ID="an-id")
    tracked_run(folder, sweep="a-sweep")
    assert "an-id" not in next(folder.rglob("*.wandb")).name


@pytest.mark.slow
def test_wandbs_folder_is_where_its_variable_says(folder: Path, only: Callable[..., None]) -> None:
    (folder / "elsewhere").mkdir()
    only(WANDB_DIR=str(folder / "elsewhere"))
    tracked_run(folder)
    assert next(folder.rglob("*.wandb")).is_relative_to(folder / "elsewhere")
    assert not (folder / "run" / "wandb").exists()


@pytest.mark.parametrize(
    ("given", "mode"),
    [("dryrun", "offline"), ("Disabled", "disabled"), ("", "online"), ("run", "online"), ("abc", "offline")],
)
def test_every_word_for_a_mode_is_understood(monkeypatch: pytest.MonkeyPatch, given: str, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", given)
    assert wandb_environment.mode() == mode


@pytest.mark.parametrize(("given", "seconds"), [("2", 2), ("abc", 30), ("-1", 30), ("nan", 30), ("1e9", 30), ("", 30)])
def test_a_timeout_that_is_none_is_not_taken(monkeypatch: pytest.MonkeyPatch, given: str, seconds: float) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", given)
    assert wandb_environment.init_timeout_s() == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [("WANDB_TAGS", "one, ,two,"), ("WANDB_MODE", "abc"), ("WANDB_INIT_TIMEOUT", "soon"), ("WANDB_TAGS", ",")],
)
@pytest.mark.one_of_many
def test_a_variable_that_wandb_cannot_read_does_not_end_tracking(
    folder: Path, only: Callable[..., None], name: str, value: str
) -> None:
    only(**{name: value})
    found = tracked_run(folder)
    assert found.exit_code == 0
    assert found.tags == (["one", "two"] if "one" in value else [])


def test_what_wandb_refuses_is_named(folder: Path, only: Callable[..., None]) -> None:
    only()
    with pytest.raises(ValueError, match=r"W&B cannot take run_tags=.*64 characters.*WANDB_"):
        tracked_run(folder, tags=["x" * 65])


@pytest.mark.slow
def test_every_job_of_a_sweep_is_a_run_of_one_group(run: Run, folder: Path) -> None:
    assert run("train", "-m", "k=2,3", *QUICK) == 0
    runs = [read_run(path) for path in sorted(folder.rglob("*.wandb"))]
    assert [tracked.config["k"] for tracked in runs] == [2, 3]
    assert len({tracked.group for tracked in runs}) == 1 and runs[0].group
    assert [tracked.exit_code for tracked in runs] == [0, 0]


@pytest.mark.slow
def test_checkpoints_become_an_artifact_when_asked(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "tracker.checkpoints=true") == 0
    (path,) = folder.rglob("*.wandb")
    assert read_run(path).exit_code == 0
    assert b"checkpoints-" in path.read_bytes()


def test_a_failed_job_closes_its_run(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "optimizer=sgd", "optimizer.lr=1e30", "scheduler=none") == 2
    (path,) = folder.rglob("*.wandb")
    assert read_run(path).exit_code == 1


@pytest.mark.slow
def test_without_a_login_runs_are_offline_and_say_so_once(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(folder / "none"))
    assert run("train", *QUICK) == 0
    assert capfd.readouterr().out.count("nobody is logged in") == 1
    assert len(list(folder.rglob("offline-run-*/*.wandb"))) == 1


def in_a_terminal(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command line with a terminal as its input and output; return its exit status and what it showed."""
    controller, terminal = pty.openpty()
    unset = {name: None for name in os.environ if name.startswith("WANDB")}
    variables = {**unset, "NETRC": str(folder / "none"), **environment}
    job = start(folder, arguments, os.ttyname(terminal), **variables)
    os.close(terminal)
    shown = b""
    # Reading fails once nobody has the terminal open any more.
    with contextlib.suppress(OSError):
        while part := os.read(controller, 4096):
            shown += part
    os.close(controller)
    return job.wait(timeout=10), shown.decode(errors="replace")


@pytest.mark.slow
def test_nobody_is_asked_for_a_login(folder: Path) -> None:
    status, shown = in_a_terminal(folder, "train", *QUICK, WANDB_MODE="online")
    assert status == 0, shown
    assert shown.count("nobody is logged in") == 1
    assert len(list(folder.rglob("offline-run-*/*.wandb"))) == 1


@pytest.mark.slow
def test_a_server_out_of_reach_makes_the_run_an_offline_one(folder: Path) -> None:
    status, shown = in_a_terminal(
        folder, "train", *QUICK, WANDB_API_KEY="k" * 40, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_INIT_TIMEOUT="2"
    )
    assert status == 0, shown
    assert shown.count("tracked offline") == 1
    (path,) = folder.rglob("*.wandb")
    assert path.parent.name.startswith("offline-run-")
    assert read_run(path).exit_code == 0


def test_a_key_in_the_environment_or_in_netrc_is_a_login(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    assert not logged_in()
    Path("netrc").write_text("machine api.wandb.ai login user password key\n")
    assert logged_in()
    monkeypatch.setenv("NETRC", str(folder / "none"))
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert logged_in()


def test_the_csv_tracker_keeps_a_row_a_job(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "tracker=csv", "k=2") == 0
    assert run("train", *QUICK, "tracker=csv", "k=3") == 0
    table = pd.read_csv(folder / "outputs" / "jobs.csv")
    assert table["k"].tolist() == [2, 3]
    assert table["test/degraded_accuracy"].notna().all()


def test_no_tracker_leaves_no_wandb_files(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "tracker=none") == 0
    assert not list(folder.rglob("*wandb*"))
