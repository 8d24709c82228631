"""Codes and their rivals, from one command into one table and one picture."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose
from omegaconf import OmegaConf

from parity_exp.errors import UserError
from parity_exp.experiment.composing import composed
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.rival_jobs import Entry, entries, run_rivals
from parity_exp.experiment.schema.composed import check_composed
from tests.conftest import Run

SMALL = (
    "experiment=compare/rivals_small", "compare.only=[berrut,fisher]", "base.max_epochs=1", "trainer.max_epochs=1",
    "load.queries=300", "load.warmup=10", "tracker=none", "hydra.run.dir=compared",
)  # fmt: skip


@pytest.mark.slow
def test_one_command_trains_simulates_and_compares(run: Run, folder: Path) -> None:
    assert run("compare", *SMALL) == 0
    table = pd.read_csv(folder / "compared" / "rivals.csv")
    assert table["policy"].tolist() == ["coded", "parity"]
    assert table["degraded_accuracy"].between(0, 1).all() and (table["p99.9_ms"] >= table["p99_ms"]).all()
    assert (folder / "compared" / "figures" / "rivals.png").is_file()
    assert "fisher" in (folder / "compared" / "report.html").read_text()
    trained = folder / "compared" / "fisher" / "train" / "metrics.json"
    written = trained.stat().st_mtime_ns
    assert run("compare", *SMALL) == 0  # goes on where it was: nothing is trained again
    assert trained.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), "compare.rivals"),
        (("+compare.rivals.a={train:[k=2]}",), "compare.rivals.a"),
        (("+compare.rivals.a={train:[encoder],policies:{parity:degraded_accuracy}}",), "compare.rivals.a.train"),
        (("+compare.rivals.a={train:['k=2'],policies:{}}",), "compare.rivals.a.policies"),
        (("+compare.rivals.a={train:['k=2'],policies:{parity:degraded_accuracy}}", "compare.only=[b]"), "compare.only"),
    ],
)
def test_rivals_that_cannot_be_are_refused_in_a_line(
    run: Run, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], named: str
) -> None:
    assert run("compare", "tracker=none", *given) == 2
    said = capsys.readouterr().err.strip()
    assert named in said and "\n" not in said


@pytest.mark.parametrize("experiment", ["compare/rivals", "compare/rivals_small"])
@pytest.mark.slow
def test_both_jobs_of_every_rival_can_be_given(experiment: str) -> None:
    with composed(config_folder(), []):
        for rival in entries(compose("config", overrides=[f"experiment={experiment}"])):
            policies = f"redundancy=[{','.join(rival.policies)}]"
            for command, words in (("train", rival.train), ("simulate", [policies, *rival.simulate])):
                given = [f"experiment={experiment}", *words]
                config = compose("config", overrides=given)
                check_composed(config, given, command)
            assert set(OmegaConf.select(config, "redundancy")) == set(rival.policies), rival.name


def test_simulations_get_what_they_may_change_in_a_trained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []

    def ended(line: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        lines.append(line[3:])
        return subprocess.CompletedProcess(line, 0)

    monkeypatch.setattr("subprocess.run", ended)
    shared = ["experiment=compare/rivals", "k=2", "base.max_epochs=1", "load.queries=9", "+straggler@straggler=none"]
    run_rivals([Entry("a", ["recipe=parm"], {"parity": "degraded_accuracy"})], shared, tmp_path)
    train, simulate = lines
    assert train == ["train", *shared, "recipe=parm", f"hydra.run.dir={tmp_path / 'a' / 'train'}"]
    assert simulate == [
        "simulate", "experiment=compare/rivals", "load.queries=9", "+straggler@straggler=none", "redundancy=[parity]",
        f"run={tmp_path / 'a' / 'train'}", f"hydra.run.dir={tmp_path / 'a' / 'simulate'}",
    ]  # fmt: skip


def test_what_other_settings_have_trained_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a" / "train").mkdir(parents=True)
    (tmp_path / "a" / "train" / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"other settings; give another hydra\.run\.dir"):
        run_rivals([Entry("a", ["k=2"], {"parity": "degraded_accuracy"})], [], tmp_path)


@pytest.mark.slow
def test_a_job_that_fails_is_named_with_what_it_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    given = "+compare.rivals.a={train:['k=1'],policies:{parity:degraded_accuracy}}"
    assert run("compare", "tracker=none", given) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "compare.rivals.a" in said and "k=1" in said
