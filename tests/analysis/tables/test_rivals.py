"""The table, picture and page of codes beside their rivals, from run directories made by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parity_exp.analysis.figures.rivals import rivals_figure
from parity_exp.analysis.pages.rivals import write_rivals
from parity_exp.analysis.tables.rivals import Rival, rivals_table


def policy(name: str, p99: float, late: float, tasks: float) -> dict[str, float]:
    values = {
        "latency_ms/p50": 20.0, "latency_ms/p99": p99, "latency_ms/p99.9": 2 * p99, "tasks_per_query": tasks,
        "extra_instances": 3.0, "queries": 1000.0, "fraction/own": 1 - late, "fraction/reconstructed": late,
    }  # fmt: skip
    return {f"simulate/{name}/{key}": value for key, value in values.items()}


@pytest.fixture
def rivals(tmp_path: Path) -> list[Rival]:
    found = []
    for name, degraded, policies in (
        ("places", 0.8, {"parity": "degraded_accuracy", "hedged": "available_accuracy"}),
        ("parm", 0.5, {"parity": "degraded_accuracy"}),
    ):
        trained, simulated = tmp_path / name / "train", tmp_path / name / "simulate"
        for folder in (trained, simulated):
            folder.mkdir(parents=True)
        tested = {"test/available_accuracy": 0.9, "test/degraded_accuracy": degraded}
        (trained / "metrics.json").write_text(json.dumps(tested))
        answers = policy("parity", 30.0, 0.1, 1.25) | policy("hedged", 40.0, 0.0, 1.05)
        (simulated / "metrics.json").write_text(json.dumps(answers))
        found.append(Rival(name, policies, trained, simulated))
    return found


def test_accuracies_of_trainings_meet_latencies_of_simulations(rivals: list[Rival]) -> None:
    table = rivals_table(rivals)
    assert table[["name", "rival", "policy"]].to_numpy().tolist() == [
        ["places", "places", "parity"], ["hedged", "places", "hedged"], ["parm", "parm", "parity"],
    ]  # fmt: skip
    assert table["degraded_accuracy"].tolist() == [0.8, 0.9, 0.5]
    assert table["overall_accuracy"].tolist() == pytest.approx([0.89, 0.9, 0.86])
    assert table["p99.9_ms"].tolist() == [60, 80, 60]
    assert table["tasks_per_query"].tolist() == [1.25, 1.05, 1.25]


def test_one_page_one_picture_and_one_table_are_written(rivals: list[Rival], tmp_path: Path) -> None:
    page = write_rivals(rivals_table(rivals), tmp_path)
    text = page.read_text()
    assert "parm" in text and "0.8900" in text and "data:image/png" in text
    assert (tmp_path / "figures" / "rivals.png").is_file()
    assert len(pd.read_csv(tmp_path / "rivals.csv")) == 3


def test_the_picture_has_a_row_for_each_rival_the_best_answers_on_top(rivals: list[Rival]) -> None:
    accuracy, latency, tasks = rivals_figure(rivals_table(rivals)).axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["parm", "places", "hedged"]
    p99, slowest = (np.asarray(dots.get_offsets())[:, 0].tolist() for dots in latency.collections[1:])
    assert (p99, slowest) == ([30, 30, 40], [60, 60, 80])
    assert [bar.get_width() for bar in tasks.patches] == [1.25, 1.25, 1.05]


def test_unequal_machines_are_said(rivals: list[Rival], tmp_path: Path) -> None:
    table = rivals_table(rivals)
    table.loc[0, "extra_instances"] = 5
    assert "equally many extra machines" in write_rivals(table, tmp_path).read_text()
