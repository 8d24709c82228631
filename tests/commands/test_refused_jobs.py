"""A job that is refused or interrupted before it has begun leaves every folder as it was."""

import resource
import shutil
from pathlib import Path

import pytest

from parity_exp.experiment.hydra_record import HydraRecord
from tests.conftest import Run, Trained


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: content of files, None for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def mine(folder: Path) -> Path:
    """A folder with a person's work, the current one."""
    for name in ("thesis.tex", "outputs/old/kept", "figures/one.png", ".hydra/notes", "empty/.keep", "train.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("work")
    (folder / "bare").mkdir()
    return folder


REFUSED = (
    ["train", "k=1"],
    ["train", "base.checkpoint=nosuch.ckpt"],
    ["train", "k=abc"],
    ["serve"],
    ["evaluate", "run=nosuch"],
    ["simulate", "pool.instances=0"],
    ["report", "runs=typo"],
    ["run", "k=1"],
)
PLACES = (".", "bare", "outputs", "outputs/old", "new", "new/deep/er", "bare/new", "'{mine}'", "figures/../bare")


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_refused_job_was_to_write_everything_is_as_before(run: Run, mine: Path, place: str) -> None:
    before = tree(mine)
    assert run("train", "k=1", f"hydra.run.dir={place.format(mine=mine)}") == 2
    assert tree(mine) == before


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
@pytest.mark.parametrize("place", ["hydra.run.dir=.", "outputs=."])
def test_whatever_is_refused_everything_is_as_before(run: Run, mine: Path, arguments: list[str], place: str) -> None:
    before = tree(mine)
    assert run(*arguments, place) == 2
    assert tree(mine) == before


@pytest.mark.parametrize("subdir", ["record", "null", "bare", ".", "a/b"])
def test_hydras_record_is_taken_back_from_where_it_was_put(run: Run, mine: Path, subdir: str) -> None:
    before = tree(mine)
    assert run("train", "k=1", "hydra.run.dir=.", f"hydra.output_subdir={subdir}") == 2
    assert tree(mine) == before


def test_ctrl_c_before_a_job_has_begun_leaves_everything_as_before(
    run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("parity_exp.commands.train.run", interrupt)
    before = tree(mine)
    for place in (".", "bare", "new"):
        assert run("train", f"hydra.run.dir={place}") == 130
        assert tree(mine) == before


def test_a_run_keeps_its_record_where_another_job_is_refused_in_it(run: Run, folder: Path, trained: Trained) -> None:
    shutil.copytree(trained(), folder / "run")
    before = tree(folder)
    for words in (["k=1"], ["resume=run", "k=3"]):
        assert run("train", *words, "hydra.run.dir=run") == 2
        assert tree(folder) == before


def test_what_a_job_has_written_itself_stays(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity_exp.errors import UserError

    def fail(*_: object) -> None:
        Path("new", "straggler-trace.csv").write_text("measured")
        raise UserError("no more")

    monkeypatch.setattr("parity_exp.commands.train.run", fail)
    assert run("train", "hydra.run.dir=new") == 2
    assert {"new/straggler-trace.csv", "new/.hydra/config.yaml"} <= tree(folder).keys()


@pytest.mark.parametrize(
    "word",
    ["outputs=", "outputs=null", "outputs=' '", "outputs=[a,b]", "outputs=7", "hydra.run.dir="],
)
def test_a_place_that_is_none_is_refused(run: Run, mine: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(mine)
    assert run("train", word) == 2
    shown = capsys.readouterr().err
    assert word.partition("=")[0] in shown and "folder" in shown and shown.count("\n") == 1
    assert tree(mine) == before
    assert not Path("/train").exists()


@pytest.mark.parametrize("word", ["outputs=", "hydra.sweep.dir=", "outputs=null"])
def test_a_sweep_without_a_place_is_refused(run: Run, mine: Path, word: str) -> None:
    before = tree(mine)
    assert run("train", "-m", "k=2,3", word) == 2
    assert tree(mine) == before


def test_a_config_of_something_else_is_not_overwritten(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text("replicas: 3\n")
    before = tree(folder)
    assert run("train", "hydra.run.dir=.") == 2
    assert "config.yaml" in capsys.readouterr().err
    assert tree(folder) == before


def test_nothing_is_taken_back_for_a_command_line_that_never_reached_a_folder(run: Run, mine: Path) -> None:
    assert run("train", "k=1", "hydra.run.dir=new") == 2
    assert HydraRecord.before is None
    before = tree(mine)
    assert run("train", "nosuchkey=1") == 2
    assert tree(mine) == before


def test_no_tree_of_a_users_is_removed_anywhere() -> None:
    package = Path(__file__).parents[2] / "parity_exp"
    calls = {
        str(path.relative_to(package)): path.read_text().count("rmtree(") for path in sorted(package.rglob("*.py"))
    }
    # The only one left removes folders that W&B has made within the same job.
    assert {name: count for name, count in calls.items() if count} == {"tracking/wandb_tracker.py": 1}


@pytest.mark.parametrize("limit", [0, 100, 20_000])
def test_a_full_disk_while_hydra_writes_its_record_is_explained_and_leaves_nothing(
    run: Run, mine: Path, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before, limits = tree(mine), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        status = run("simulate", "hydra.run.dir=new/run", "load.queries=100", "tracker=none", "k=1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    shown = capsys.readouterr().err
    assert status == 2 and shown.count("\n") == 1
    assert ("new/run" in shown and "space" in shown) or (limit == 20_000 and "k=1" in shown)
    assert tree(mine) == before
