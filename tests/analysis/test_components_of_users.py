"""Reports describe what they do not know: policies, codes, stragglers, loads and data sets of users."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from torch import Tensor

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.analysis.pages.findings import accuracy_findings
from parity_exp.analysis.pages.run import write_report
from parity_exp.analysis.pages.run_facts import coded_facts, serving_facts, title_of
from parity_exp.analysis.runs.tidy import Tidy, measured_codes
from parity_exp.analysis.tables.comparison import accuracy_table
from parity_exp.analysis.tables.serving import percentile_table, written
from parity_exp.coding import Encoder
from parity_exp.data import Digits
from parity_exp.disturbances import Straggler
from parity_exp.disturbances.trace import SLOW, Disturbance, write_trace
from parity_exp.load import OpenLoad, write_arrivals
from parity_exp.policies import Hedged, Parity
from parity_exp.policies.look import Look
from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings.descriptions import write_descriptions
from parity_exp.recordings.gathered import GatheredRun, gather
from parity_exp.recordings.looks import write_looks
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tasks import Classification
from tests.analysis.many_runs import Configs, training_metrics, write_run
from tests.conftest import Run, run_dirs


class Mean(Encoder):
    """Takes the mean of the queries."""

    colour = "#abcdef"

    def forward(self, prepared: Tensor) -> Tensor:
        return prepared.mean(1, keepdim=True)


class Mine(Hedged):
    """Hedges as its author likes it."""


class Usual(Parity):
    """What the author had before."""

    looks = (Look(is_baseline=True, colour="#010203"),)


class Seer(Hedged):
    """Sees more than others."""

    looks = (Look(is_bound=True),)


class Naps(Straggler):
    """Instance 0 takes naps."""

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        return [
            Disturbance(SLOW, 0, start_s, start_s + 0.1, extra_ms=20.0) for start_s in np.arange(0, duration_s, 0.5)
        ]


class Clockwork(OpenLoad):
    """A query at each tick."""

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        return np.arange(1, self.total + 1) / rate_qps


class Marks(Classification):
    """Pupils get marks."""

    quality = "marks"

    def answer_scores(self, answers: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        right = (answers == labels).float()
        return {"marks": 0.5 + right / 4, "accuracy": right}


class Pupils(Digits):
    """Digits as pupils write them."""


CLASSES = {
    "dataset": Pupils,
    "encoder": Mean,
    "straggler.naps": Naps,
    "load": Clockwork,
    **{f"redundancy.{name}": made for name, made in {"mine": Mine, "usual": Usual, "seer": Seer}.items()},
}
NAMES = ("mine", "usual", "seer")


def config_of_users() -> dict[str, Any]:
    config = Configs()("digits", "mlp", "addition", "shuffle")

    def node(made: type, **settings: Any) -> dict[str, Any]:
        return {"_target_": f"{__name__}.{made.__name__}", **settings}

    return config | {
        "dataset": {**config["dataset"], **node(Pupils, name="pupils")},
        "encoder": node(Mean, strength=3),
        "straggler": {"naps": node(Naps, every_s=0.5)},
        "load": {**config["load"], **node(Clockwork)},
        "redundancy": {name: node(CLASSES[f"redundancy.{name}"]) for name in NAMES},
    }


def recorded(latency_ms: float) -> Recorder:
    recorder = Recorder(queries=60, warmup=0, task=Marks(("a", "b")))
    for query in range(60):
        due_s = query / 100
        late_s = latency_ms / 1000 * (4 if query % 20 == 0 else 1)
        recorder.sent(query, due_s, due_s, label=query % 2)
        recorder.task(query, "base", query % 2, due_s, due_s, due_s + late_s, "done", batch=query)
        recorder.answered(query, due_s + late_s, AnswerSource.OWN, instance=query % 2, predicted=0)
    return recorder


def serve_folder(folder: Path) -> Path:
    """What serving with a user's components leaves."""
    metrics = {}
    for name, latency_ms in zip(NAMES, (20.0, 30.0, 5.0), strict=True):
        values = serving_metrics(recorded(latency_ms).queries()) | {"instances": 3, "extra_instances": 1}
        metrics |= {f"serve/{name}/{key}": value for key, value in values.items()}
    write_run(folder, config_of_users(), metrics, "serve")
    for name, latency_ms in zip(NAMES, (20.0, 30.0, 5.0), strict=True):
        recorded(latency_ms).save(folder, name)
    run = RunDirectory(folder)
    write_trace(run.trace, [Disturbance(SLOW, 0, 0.1, 0.2, extra_ms=20.0)])
    write_arrivals(run.arrivals, np.arange(60) / 100)
    write_descriptions(folder, CLASSES)
    write_looks(folder, {name: CLASSES[f"redundancy.{name}"](2, 1) for name in NAMES})
    return folder


def train_folder(folder: Path, k: int) -> Path:
    """What training a user's encoder on a user's data set leaves."""
    metrics = training_metrics(k, "addition", "digits", np.random.default_rng(0))
    metrics |= {"test/available_marks": 0.74, "test/degraded_marks": 0.61, "test/reconstruction_marks": 0.66}
    write_run(folder, config_of_users() | {"k": k}, metrics, "train")
    write_descriptions(folder, CLASSES)
    columns = {"fraction_unavailable": [0.0, 0.1], "overall_marks": [0.74, 0.73]}
    pd.DataFrame(columns).to_csv(RunDirectory(folder).overall, index=False)
    picture = Figure()
    picture.subplots().plot([1, 2])
    save({"overall_marks": picture}, RunDirectory(folder).figures)
    return folder


def test_the_page_of_a_served_run_says_what_everything_is(tmp_path: Path) -> None:
    page = write_report(serve_folder(tmp_path / "run")).read_text().replace("<wbr>", "")
    for said in (
        "Takes the mean of the queries.", "Instance 0 takes naps.", "A query at each tick.",
        "Digits as pupils write them.", "Hedges as its author likes it.", "Sees more than others.",
    ):  # fmt: skip
        assert said in page, said
    assert "Mean (strength 3)" in page and "Naps (every_s 0.5)" in page and "under naps" in page
    assert "usual (3 instances): p50 30.0 ms" in page  # the baseline is the one that says so, not the first
    assert ">marks<" in page


def test_the_page_of_a_trained_run_knows_the_score_of_a_users_task(tmp_path: Path) -> None:
    page = write_report(train_folder(tmp_path / "run", 2)).read_text()
    code = page[page.index('id="code"') : page.index('id="config"')]
    assert "overall marks" in code and "overall_marks" in code
    assert "Other figures" not in page
    assert "The base model&#39;s mean marks is 0.740, that of reconstructed predictions 0.610" in page


def test_sentences_about_other_scores_come_of_them_alone() -> None:
    metrics = {f"test/{kind}_accuracy": 0.9 for kind in ("available", "degraded", "reconstruction")}
    top = {f"{key}_top5": 1.0 for key in metrics}
    assert not [line for line in accuracy_findings(metrics | top) if "mean" in line]


def test_a_comparison_needs_to_know_none_of_it(tmp_path: Path) -> None:
    serve_folder(tmp_path / "serve")
    for k in (2, 3):
        train_folder(tmp_path / "train" / str(k), k)
    (tmp_path / "out").mkdir()
    gathered = gather([str(tmp_path / "*")])
    assert [problem for run in gathered for problem in run.problems] == []
    page = write_comparison(gathered, tmp_path / "out", ["*"]).page.read_text()
    assert "Hedges as its author likes it." in page
    assert "mine against usual, 1 run" in page and "seer against usual" in page

    tidy = Tidy(gathered)
    assert list(tidy.encoder_colours.values()) == ["#abcdef"]
    table = accuracy_table(measured_codes(tidy))
    assert {"available marks", "degraded marks"} <= set(table.columns)
    assert {"Pupils", "pupils"} & set(table["dataset"])


def test_a_run_that_kept_no_descriptions_is_described_by_class_and_settings(tmp_path: Path) -> None:
    folder = serve_folder(tmp_path / "run")
    run = RunDirectory(folder)
    run.components.unlink()
    run.policies.unlink()
    page = write_report(folder).read_text()
    assert "Mean (strength 3)" in page and "Naps (every_s 0.5)" in page and "what it is" not in page


def test_a_score_of_a_users_task_stands_in_tables_of_serving() -> None:
    values = serving_metrics(recorded(20.0).queries()) | {"instances": 3}
    table = written(percentile_table({"mine": values}))
    assert table["marks"].tolist() == ["0.6250"] and table["accuracy"].tolist() == ["0.5000"]
    back = json.loads(json.dumps(values))
    assert list(percentile_table({"mine": back}).columns) == list(table.columns)


def test_a_simulation_with_a_users_policy_straggler_and_load_reports_them(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for group, name, text in (
        ("redundancy", "mine", f"mine:\n  _target_: {__name__}.Mine\n"),
        ("straggler", "naps", f"naps:\n  _target_: {__name__}.Naps\n"),
    ):
        (folder / "conf" / group).mkdir(parents=True)
        (folder / "conf" / group / f"{name}.yaml").write_text(text)
    given = ("redundancy=[equal_resources,mine]", "straggler=[naps]", "load.queries=300", "load.warmup=20")
    load = f"load._target_={__name__}.Clockwork"
    assert run("simulate", "hydra.searchpath=[file://conf]", "tracker=none", load, *given) == 0, capfd.readouterr().err
    (run_dir,) = run_dirs(folder, "simulate")
    page = (run_dir / "report.html").read_text()
    for said in ("Instance 0 takes naps.", "A query at each tick.", "Hedges as its author likes it."):
        assert said in page, said


def test_a_run_without_data_and_code_says_nothing_of_them() -> None:
    config = {"k": 3, "r": 1, "redundancy": {"mine": {"_target_": "mine.Mine"}}, "straggler": None}
    assert title_of(config, ["mine"]) == "k = 3, r = 1; served by mine; without stragglers"
    assert [row[0] for row in coded_facts(config).rows] == ["k, r"]
    assert [row[0] for row in serving_facts(config).rows] == ["policy mine", "straggler"]


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        (["simulate/mine/queries"], "simulate"), (["plan/mine/machines"], "simulate"),
        (["serve/mine/queries"], "serve"), (["test/available_accuracy"], "evaluate"), (["train/epochs"], "train"),
        (["train/epochs", "serve/mine/queries"], "run"), ([], "unknown"),
    ],
)  # fmt: skip
def test_a_run_of_a_program_is_named_after_what_it_measured(keys: list[str], command: str) -> None:
    assert GatheredRun(Path(), "finished", metrics=dict.fromkeys(keys, 1.0)).command == command
