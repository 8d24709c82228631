"""What pages and tables say about runs whose code trains nothing."""

from pathlib import Path

import pandas as pd
import pytest

from parity_exp.analysis.figures.answers import accuracy_against_tail
from parity_exp.analysis.pages.findings import accuracy_findings
from parity_exp.analysis.pages.run_facts import coded_facts, title_of
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.analysis.tables.quality import quality_table
from parity_exp.recordings.gathered import GatheredRun

BERRUT = {"_target_": "parity_exp.coding.BerrutCode", "stragglers": 2, "workers": None, "signs": "own"}
UNTRAINED = {
    "dataset": {"name": "digits"}, "architecture": {"_target_": "parity_exp.models.MLP"}, "code": BERRUT, "k": 2,
    "r": 2, "encoder": None, "decoder": None, "generator": None, "objective": None,
}  # fmt: skip
TRAINED = UNTRAINED | {
    "code": {"_target_": "parity_exp.coding.Code"},
    "encoder": {"_target_": "parity_exp.coding.AdditionEncoder"},
    "decoder": {"_target_": "parity_exp.coding.SubtractionDecoder"},
}
RUNS = {"untrained": UNTRAINED, "trained": TRAINED}


def test_the_code_stands_where_other_runs_have_encoder_and_decoder() -> None:
    assert title_of(UNTRAINED, []) == "digits, MLP: BerrutCode, k = 2, r = 2"
    facts = {str(name): value for name, value in coded_facts(UNTRAINED).rows}
    assert facts["code"] == "BerrutCode (stragglers 2, signs own)"
    assert not {"encoder", "decoder", "generator matrix", "objective"} & facts.keys()
    tidy = Tidy([GatheredRun(Path(name), "finished", config=dict(config)) for name, config in RUNS.items()])
    assert tidy.runs["encoder"].tolist() == ["berrut", "addition"]


def test_accuracies_are_told_for_what_they_are() -> None:
    metrics = {"available_accuracy": 0.9, "no_loss_accuracy": 0.88, "degraded_accuracy": 0.8}
    metrics |= {"first_answers/degraded_accuracy": 0.85, "wrong_1_sigma_10/degraded_accuracy": 0.7}
    table = quality_table(metrics)
    assert table[""].tolist() == [
        "available",
        "no loss",
        "degraded",
        "first answers/degraded",
        "wrong 1 sigma 10/degraded",
    ]
    overall = pd.DataFrame({"fraction_unavailable": [0.1], "overall_accuracy": [0.87]})
    sentences = accuracy_findings({f"test/{name}": value for name, value in metrics.items()}, overall)
    assert "right in 88.0 % when all answers are there" in sentences[-1]


def test_every_policy_is_a_point_of_accuracy_against_the_tail() -> None:
    tables = {
        policy: pd.DataFrame({"latency_ms": latency_ms, "correct": correct})
        for policy, latency_ms, correct in (
            ("parity", [10.0] * 99 + [40.0], [True] * 90 + [False] * 10),
            ("berrut", [20.0] * 100, [True] * 80 + [False] * 20),
        )
    }
    figure = accuracy_against_tail(tables)
    for axis, latencies in zip(figure.axes, ([10, 20], [40, 20]), strict=True):
        points = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines}
        assert points == {"parity": (latencies[0], pytest.approx(0.9)), "berrut": (latencies[1], pytest.approx(0.8))}
