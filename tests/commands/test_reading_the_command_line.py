"""Every way to write an override means the same, and what cannot be read is answered by how to write it."""

import shlex
import shutil
from pathlib import Path

import pytest

from parity_exp.experiment.command_line import as_hydra_reads, parsed, place_of
from parity_exp.experiment.explanations import explanation
from tests.analysis.many_runs import write_many_runs
from tests.commands.test_refused_jobs import tree
from tests.conftest import Run, Trained


@pytest.mark.parametrize(
    "word", ["resume={}", "+resume={}", "++resume={}", "resume='{}'", 'resume="{}"', "++resume='{}'"]
)
def test_a_run_is_gone_on_with_however_that_is_written(
    run: Run, folder: Path, trained: Trained, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = Path(shutil.copytree(trained(), folder / "a run"))
    if "'" not in word and '"' not in word:
        resumed = resumed.rename(folder / "a_run")
    before = tree(resumed)
    places = []
    monkeypatch.setattr("parity_exp.commands.train.claim", lambda *given: places.append(given[2].path) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("train", word.format(resumed), "tracker=none")
    assert places == [resumed]
    after = tree(resumed)
    assert {name: after[name] for name in before if not name.endswith(".log")} == {
        name: content for name, content in before.items() if not name.endswith(".log")
    }
    assert not Path("outputs").exists()


@pytest.mark.parametrize("word", ["resume=nosuch", "+resume=nosuch", "++resume=nosuch", "resume='no such'"])
def test_a_run_that_is_none_is_refused_however_it_is_written(
    run: Run, folder: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", word) == 2
    assert "not a run directory" in capsys.readouterr().err
    assert not tree(folder)


@pytest.mark.parametrize(
    "words",
    [["-m", "resume=a"], ["--multirun", "++resume=a"], ["-m", "resume=a,b"], ["hydra.mode=MULTIRUN", "resume=a"]],
)
def test_a_sweep_resumes_nothing(run: Run, folder: Path, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", *words) == 2
    assert "resume= goes on with one run" in capfd.readouterr().err


def test_a_resumed_run_stays_where_it_is(
    run: Run, folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", f"resume={trained()}", "hydra.run.dir=elsewhere") == 2
    assert "hydra.run.dir=elsewhere" in capsys.readouterr().err
    assert not tree(folder)


VALUES = [
    "/data/a=b", "/data/a,b", "/data/(old)/x", "/data/a[1]", "/data/{x}", "/data/it's", '/data/a"b', "/data/a#b;c",
    "/data/ü", "a=b,c(d)", "=", "(", "C:\\data\\new=1", "(x\\", 'a\\"b(',
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_who_gives_a_path_with_a_meaning_is_told_how_to_quote_it(
    run: Run, folder: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", f"dataset.root={value}") == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "quote" in shown and "Traceback" not in shown
    told = shlex.split(shown.partition("for the shell: ")[2].strip().partition("; for a list")[0])
    assert len(told) == 1
    understood = parsed(told[0])
    assert understood is not None and understood.value() == value


@pytest.mark.parametrize("word", ["k", "=3", "encoder"])
def test_a_word_that_is_no_override_is_named(run: Run, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", word) == 2
    assert f"{word}: expected key=value" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["a%b", "100%", "a+b", "a@b", "a:b", "my data", "a.b-c_d"])
def test_plain_values_need_no_quotes(value: str) -> None:
    understood = parsed(f"dataset.root={value}")
    assert understood is not None and understood.value() == value


@pytest.mark.parametrize("word", ["runs=a/serve/**,a/train", "+runs=a/serve/**,a/train", "++runs=a/serve,a/train"])
def test_a_report_takes_several_patterns_between_commas(run: Run, folder: Path, word: str) -> None:
    write_many_runs(folder / "a", 3, 2)
    assert run("report", word.replace("+runs", "+runs")) == 0 or word.startswith("+runs")
    if not word.startswith("+runs"):
        (page,) = folder.glob("outputs/report/*/*/report.html")
        assert "5 runs;" in page.read_text()


def test_only_a_report_takes_lists_between_commas_and_no_sweep_does() -> None:
    assert as_hydra_reads("report", ["runs=a,b", "k=2,3", "runs='a,b'"]) == ["runs=[a,b]", "k=2,3", "runs='a,b'"]
    assert as_hydra_reads("report", ["-m", "runs=a,b"]) == ["-m", "runs=a,b"]
    assert as_hydra_reads("train", ["runs=a,b"]) == ["runs=a,b"]


@pytest.mark.parametrize(
    ("word", "place"),
    [("k=3", "k"), ("++k=3", "k"), ("~k", "k"), ("optimizer@base.optimizer=sgd", "base.optimizer"), ("k =3", "k")],
)
def test_where_a_value_goes(word: str, place: str) -> None:
    assert place_of(word) == place


def test_a_socket_that_does_not_fit_is_explained_by_the_folder_it_is_in() -> None:
    for error in (OSError("AF_UNIX path too long"), OSError("AF_UNIX path length cannot exceed 107 bytes: /x")):
        line = explanation(error)
        assert line is not None and "TMPDIR=" in line and "/tmp" in line


def test_a_relative_path_is_the_same_one_with_hydras_chdir(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("junk.ckpt").write_text("junk")
    for chdir in ("true", "false"):
        assert run("train", "base.checkpoint=junk.ckpt", f"hydra.job.chdir={chdir}") == 2
        shown = capsys.readouterr().err
        assert "junk.ckpt" in shown and "no such file" not in shown
