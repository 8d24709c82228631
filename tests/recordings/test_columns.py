"""Columns of recordings: one definition, which serving and simulation both keep to."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from parity_exp.disturbances.trace import SLOW, Disturbance, write_trace
from parity_exp.load import write_arrivals
from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings import columns
from parity_exp.recordings.reader import read_recordings
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.troubles import RAISED, Troubles
from parity_exp.simulation.outcome import Outcome


def recorder() -> Recorder:
    recorded = Recorder(queries=1, warmup=0)
    recorded.sent(0, 0.0, 0.1, label=3)
    recorded.task(0, "base", 0, 0.1, 0.2, 0.3, "done", batch=0)
    recorded.answered(0, 0.4, AnswerSource.OWN, instance=0, predicted=3)
    return recorded


def kinds(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in table.dtypes.items()}


def test_serving_records_the_columns_in_their_order_and_of_their_kinds() -> None:
    recorded = recorder()
    queries = {**columns.QUERIES, **columns.ANSWERS, "label": "int64", "predicted": "int64"}
    assert list(recorded.queries().columns) == list(queries) and kinds(recorded.queries()) == queries
    assert kinds(recorded.tasks()) == {**columns.TASKS, **columns.SPOILT}
    assert recorded.queries().attrs["quality"] == "accuracy"


def test_an_empty_recording_has_the_same_columns() -> None:
    empty, one = Recorder(queries=1, warmup=0), recorder()
    assert kinds(empty.queries()) == kinds(one.queries()) and kinds(empty.tasks()) == kinds(one.tasks())


def test_simulation_records_the_same_columns_but_for_predictions() -> None:
    outcome = Outcome(3)
    assert kinds(outcome.queries()) == columns.QUERIES
    assert kinds(outcome.tasks()) == columns.TASKS


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run, recorded, troubles = RunDirectory(tmp_path), recorder(), Troubles()
    recorded.save(tmp_path, "mine")
    troubles.note(RAISED, "base", 0, "boom")
    troubles.save(tmp_path, "mine")
    write_trace(run.trace, [Disturbance(SLOW, 0, 0.5, 1.0, extra_ms=3.0)])
    write_arrivals(run.arrivals, np.array([0.25, 0.5]))
    found = read_recordings(tmp_path)
    assert list(found.queries) == list(found.tasks) == ["mine"]
    pd.testing.assert_frame_equal(found.queries["mine"], recorded.queries())
    pd.testing.assert_frame_equal(found.tasks["mine"], recorded.tasks())
    assert found.trace is not None and [*found.trace.columns, columns.TRACE[-1]] == list(columns.TRACE)
    assert found.arrivals_s is not None and found.arrivals_s.name == columns.ARRIVALS
    assert found.arrivals_s.tolist() == [0.25, 0.5]
    assert list(found.errors.columns) == list(columns.ERRORS) and found.errors["times"].tolist() == [1]


def test_policies_come_in_the_order_of_the_run_and_others_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        recorder().save(tmp_path, name)
    assert list(read_recordings(tmp_path, ["c", "gone"]).queries) == ["c", "a", "b"]


def test_the_documents_name_every_column_and_which_of_them_simulations_lack() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "run-directory.md").read_text()
    section = page.partition("## Columns of queries and tasks")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    rows = [row for row in rows if ".parquet" not in row[0]]
    there = {row[-1].strip()[:3]: set[str]() for row in rows}
    for row in rows:
        there[row[-1].strip()[:3]] |= set(re.findall(r"`(\w+)`", row[0]))
    assert there["yes"] == {*columns.QUERIES, *columns.FRONTEND, *columns.TASKS}
    assert there["no"] == {*columns.ANSWERS, *columns.SPOILT, "label", "predicted"}
