"""Figures, tables and sentences of serving: they say what the recordings say, and can be made of any run."""

import io

import numpy as np
import pandas as pd
import pytest

from parity_exp.analysis.figures.answers import accuracy_at
from parity_exp.analysis.figures.latency import latency_ccdf
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.figures.timeline import instance_timeline, worst_window
from parity_exp.analysis.pages import findings
from parity_exp.analysis.tables.numbers import number, percent
from parity_exp.analysis.tables.serving import cost_table, percentile_table, written, wrong_answers_table
from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.recorder import Recorder
from tests.analysis.recordings import SLO_MS, Recordings

pytestmark = pytest.mark.draws

PICTURES = {"latency_ccdf", "accuracy_against_tail", "accuracy_against_slo", "answer_sources", "latency_over_time"}


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return Recordings()


def drawn(queries: dict[str, pd.DataFrame], tasks: dict[str, pd.DataFrame], *rest: object) -> set[str]:
    """Names of all figures, after they have been drawn to the last pixel."""
    figures = serving_figures(queries, tasks, *rest)  # type: ignore[arg-type]
    for figure in figures.values():
        figure.savefig(io.BytesIO(), format="png", dpi=40)
    return set(figures)


# ---- figures


def test_every_figure_can_be_drawn(recordings: Recordings) -> None:
    names = drawn(recordings.queries, recordings.tasks, recordings.trace, SLO_MS)
    assert names == PICTURES | {"instance_timeline-equal_resources", "instance_timeline-parity"}


def test_figures_need_neither_tasks_nor_trace_nor_deadline(recordings: Recordings) -> None:
    assert drawn({"parity": recordings.queries["parity"]}, {}) == PICTURES


def test_policies_of_users_are_drawn_too(recordings: Recordings) -> None:
    table = recordings.queries["parity"]
    policies = [f"mine_{index}" for index in range(8)]
    assert drawn({"hedged": table, **dict.fromkeys(policies, table)}, {}, recordings.trace, SLO_MS) == PICTURES


def test_a_run_that_recorded_nothing_has_no_figures() -> None:
    empty = Recorder(10, 0)
    assert drawn({"parity": empty.queries()}, {"parity": empty.tasks()}) == set()


def test_a_single_query_is_enough_for_figures() -> None:
    recorder = Recorder(10, 0)
    recorder.sent(0, 0.0, 0.0, label=1)
    recorder.answered(0, 0.02, AnswerSource.OWN, 0, 0, 1)
    recorder.task(0, "base", 0, 0.0, 0.0, 0.02, "done", 0, 0)
    names = drawn({"none": recorder.queries()}, {"none": recorder.tasks()}, None, 100.0)
    assert names == PICTURES | {"instance_timeline-none"}


def test_the_ccdf_shows_percentiles_where_they_are(recordings: Recordings) -> None:
    (axis,) = latency_ccdf(recordings.queries, SLO_MS).axes
    line = next(line for line in axis.lines if str(line.get_label()).startswith("parity"))
    latency_ms, longer = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    p99_ms = recordings.metrics["serve/parity/latency_ms/p99"]
    assert longer[np.searchsorted(latency_ms, p99_ms)] == pytest.approx(0.01, abs=0.001)


def test_accuracy_against_a_deadline_is_that_of_answering_the_default_after_it(recordings: Recordings) -> None:
    queries = recordings.queries["equal_resources"]
    deadlines_ms = np.array([1.0, 21.0, 25.0, 90.0, 1000.0])
    expected = [
        float(np.where(queries["latency_ms"] <= deadline_ms, queries["correct"], queries["label"] == 0).mean())
        for deadline_ms in deadlines_ms
    ]
    assert accuracy_at(queries, deadlines_ms) == pytest.approx(expected)
    assert 0 < accuracy_at(queries, deadlines_ms)[0] < 0.2, "all late, and some would have been right"


def test_the_timeline_shows_where_most_time_was_lost() -> None:
    recorder = Recorder(4000, 0)
    for query in range(4000):
        late = 1200 <= query < 1240 or query == 3000
        recorder.sent(query, 0.01 * query, 0.01 * query, label=0)
        recorder.answered(query, 0.01 * query + (0.3 if late else 0.02), AnswerSource.OWN, 0)
        recorder.task(query, "base", 0, 0.01 * query, 0.01 * query, 0.01 * query + 0.02, "done", query)
    begin_s, end_s = worst_window(recorder.tasks(), recorder.queries())
    assert begin_s <= 12.0
    assert end_s >= 12.4 + 0.3
    assert end_s - begin_s < 6.1


def test_the_timeline_marks_kills_lost_tasks_and_every_kind_of_disturbance(recordings: Recordings) -> None:
    tasks = recordings.tasks["parity"]
    tasks.loc[tasks.index[:50], ["outcome", "started_s"]] = ["lost", np.nan]
    rows = [("kill", 1.0, 1.0), ("tenant", 0.5, 9.0), ("contention", 0.0, 2.0), ("of_a_user", 1.0, 1.5)]
    trace = pd.DataFrame(
        [(kind, 1, start_s, end_s, 1.0, 0.0) for kind, start_s, end_s in rows], columns=recordings.trace.columns
    )
    figure = instance_timeline(tasks, trace, recordings.queries["parity"], (0.0, 3.0), "parity")
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"killed", "a second service runs", "a process competes", "of_a_user", "base task"} <= labels


# ---- tables


def test_the_percentile_table_has_a_row_a_policy_in_the_order_of_the_run(recordings: Recordings) -> None:
    metrics = recordings.metrics
    table = percentile_table(metrics_by_policy({"test/available_accuracy": 0.9, "serve/service_ms": 20.0, **metrics}))
    assert table["policy"].tolist() == ["equal_resources", "parity"]
    row = table.iloc[1]
    assert row["p99.9 ms"] == metrics["serve/parity/latency_ms/p99.9"]
    assert row["gap ms"] == pytest.approx(row["p99.9 ms"] - row["p50 ms"])
    assert row["reconstructed"] == metrics["serve/parity/fraction/reconstructed"]
    assert "backup" not in table.columns


def test_tables_are_made_of_what_an_interrupted_run_has() -> None:
    policies = {"none": {"queries": 0, "lost": 3, "duplicates": 0}}
    assert percentile_table(policies).loc[0, "lost"] == 3
    assert written(percentile_table(policies)).loc[0, "p99 ms"] == "-"
    assert list(cost_table(policies).columns) == ["policy"]


BLIND = {"queries": 100, "accuracy": 0.8, "fraction/corrupted": 0.05, "fraction/flagged": 0, "fraction/unnoticed": 0.05}
SEEING = {**BLIND, "fraction/flagged": 0.1, "fraction/unnoticed": 0.004, "checks": 50, "detection_rate": 0.9}


def test_wrong_answers_have_a_table_only_where_there_are_any_or_somebody_looks() -> None:
    sound = {**BLIND, "fraction/corrupted": 0.0, "fraction/unnoticed": 0.0}
    assert wrong_answers_table({"none": sound}).empty
    assert not wrong_answers_table({"none": sound, "checked_parity": {**sound, "checks": 50}}).empty
    table = written(wrong_answers_table({"none": BLIND, "checked_parity": SEEING}))
    assert table["corrupted"].tolist() == ["5.0 %", "5.0 %"] and table["unnoticed"].tolist() == ["5.0 %", "0.4 %"]
    assert table["detected"].tolist() == ["-", "90.0 %"] and table["checks"].tolist() == ["-", "50"]


def test_findings_say_who_noticed_wrong_answers() -> None:
    first, second = findings.wrong_answer_findings({"none": BLIND, "parity": BLIND, "checked_parity": SEEING})
    assert "none 5.0 %, parity 5.0 % and checked_parity 5.0 % (0.4 % unnoticed)" in first
    assert second == "none and parity have no way to notice."
    assert findings.wrong_answer_findings({"none": {"queries": 100}}) == []


def test_numbers_are_written_for_people(recordings: Recordings) -> None:
    assert [number(value) for value in (0.0123, 4.5, 26.04, 271.8, 12345.6)] == [
        "0.0123",
        "4.50",
        "26.0",
        "272",
        "12,346",
    ]
    assert [percent(value) for value in (0.0, 0.00025, 0.031, 1.0)] == ["0 %", "0.025 %", "3.1 %", "100.0 %"]
    row = written(percentile_table(metrics_by_policy(recordings.metrics))).iloc[0]
    assert row["policy"] == "equal_resources"
    assert row["instances"] == "6"
    assert row["lost"] == "0"


# ---- sentences

FAST = {
    "queries": 20000,
    "lost": 0,
    "duplicates": 0,
    "instances": 6,
    "latency_ms/p50": 26.0,
    "latency_ms/p90": 28.0,
    "latency_ms/p99": 36.0,
    "latency_ms/p99.9": 76.0,
    "gap_ms": 50.0,
    "accuracy": 0.88,
    "fraction/reconstructed": 0.03,
}
SLOW = {**FAST, "latency_ms/p99": 216.0, "latency_ms/p99.9": 626.0, "gap_ms": 600.0, "accuracy": 0.89} | {
    "fraction/reconstructed": 0.0
}


def test_findings_say_what_was_bought_and_at_what_cost() -> None:
    _, parity, best = findings.serving_findings({"equal_resources": SLOW, "parity": FAST})
    assert "p99.9 76.0 ms, 8.2 times lower" in parity
    assert "gap p99.9 - p50 50.0 ms, 12 times smaller" in parity
    assert "Clients got 88.0 % right, 1.0 points fewer (3.0 % reconstructed)" in parity
    assert "loses" not in parity
    assert best.endswith("in accuracy equal_resources.")


def test_findings_say_where_a_policy_loses() -> None:
    _, parity, best = findings.serving_findings({"equal_resources": FAST, "parity": {**SLOW, "instances": 7}})
    assert "p99.9 626 ms, 8.2 times higher" in parity
    assert "It loses to equal_resources at p99 (216 against 36.0 ms) and p99.9 (626 against 76.0 ms)." in parity
    assert "It has 1 instance more." in parity
    assert "p99 and p99.9 equal_resources" in best


def test_differences_within_the_noise_are_no_findings() -> None:
    _, other, _ = findings.serving_findings({"equal_resources": FAST, "hedged": {**FAST, "latency_ms/p99": 37.0}})
    assert other.count("about the same") == 3
    assert "the same (3.0 % reconstructed)" in other
    assert "loses" not in other


def test_without_equal_resources_the_first_policy_is_the_baseline() -> None:
    assert findings.baseline_of({"none": 0, "parity": 0}) == "none"
    assert findings.baseline_of({"parity": 0, "equal_resources": 0}) == "equal_resources"


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"lost": 2}, "2 queries were sent and never answered"),
        ({"duplicates": 1}, "1 answer too many"),
        ({"queries": 15000}, "15,000 of 20,000 queries measured"),
        ({"queries": 4000}, "rests on the slowest 4"),
        ({"fraction/default": 0.2}, "latencies stop at the deadline"),
        ({"fraction/error": 0.01}, "1.0 % of the clients got an error"),
    ],
)
def test_what_makes_a_run_unreliable_is_said(change: dict[str, float], warning: str) -> None:
    assert not findings.warnings({"parity": FAST}, 20000)
    assert any(warning in line for line in findings.warnings({"parity": {**FAST, **change}}, 20000))


def test_a_frontend_that_was_kept_from_its_work_is_told_of() -> None:
    due_s = np.arange(2000) * 0.01
    quiet = pd.DataFrame({"scheduled_s": due_s, "sent_s": due_s + 0.0001})
    stalled = quiet.copy()
    stalled.loc[1000:1009, "sent_s"] = 10.1
    (line,) = findings.frontend_warnings({"none": quiet, "parity": stalled})
    assert line.startswith("parity: 0.5 %") and "up to 100 ms" in line
