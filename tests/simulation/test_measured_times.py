"""A run that was served says how long tasks and messages take, without what was injected into it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from parity_exp.disturbances.trace import CONTENTION, SLOW, Disturbance, write_trace
from parity_exp.errors import UserError
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.writer import write_recordings
from parity_exp.simulation import measured_times

THERE_S, BACK_S = 0.001, 0.002


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A run: instance 0 has the base model and takes 10 ms, or 90 in its slow second; 1 the parity model, 30 ms."""
    queries, tasks = [], []
    for query in range(300):
        placed_s = query * 0.1
        for instance, model, usual_s in ((0, "base", 0.01), (1, "parity-0", 0.03)):
            slow = instance == 0 and 5 <= placed_s < 6
            start_s = placed_s + THERE_S
            end_s = start_s + (0.09 if slow else usual_s)
            batch = query if model == "base" else -1
            tasks.append((2 * query + instance, model, instance, placed_s, start_s, end_s, "done", batch, query // 2))
        done_s = tasks[-2][5] + BACK_S
        queries.append((query, placed_s, placed_s, done_s, 1e3 * (done_s - placed_s), "own", 0, query // 2))
    task_columns = ["task", "model", "instance", "placed_s", "started_s", "finished_s", "outcome", "batch", "group"]
    columns = ["query", "scheduled_s", "sent_s", "completed_s", "latency_ms", "source", "instance", "group"]
    write_recordings(
        tmp_path, "parity", pd.DataFrame(queries, columns=columns), pd.DataFrame(tasks, columns=task_columns)
    )
    run = RunDirectory(tmp_path)
    run.write_config(OmegaConf.create({"k": 2}))
    run.write_metrics({"serve/service_time_ms": 10.5})
    write_trace(tmp_path / "straggler-trace.csv", [Disturbance(SLOW, 0, 5.0, 6.0, 9.0)])
    return tmp_path


def test_models_are_measured_apart_and_undisturbed(served: Path) -> None:
    measured = measured_times(served)
    assert set(measured.service) == {"base", "parity-0"}
    assert measured.service["base"].values == pytest.approx(np.full(290, 0.01))
    assert measured.service["parity-0"].values == pytest.approx(np.full(300, 0.03))
    assert measured.query_s == pytest.approx(0.0105)


def test_what_instances_served_together_comes_along(served: Path) -> None:
    assert measured_times(served).capacity_qps is None  # a run of before it was measured
    run = RunDirectory(served)
    run.write_config(OmegaConf.create({"k": 2, "pool": {"instances": 4}}))
    run.write_metrics({"serve/service_time_ms": 10.5, "serve/capacity_qps": 250.0})
    measured = measured_times(served)
    assert (measured.capacity_qps, measured.instances) == (250.0, 4)


def test_messages_take_what_neither_waiting_nor_working_explains(served: Path) -> None:
    measured = measured_times(served)
    assert measured.there.values == pytest.approx(THERE_S)
    assert measured.back.values == pytest.approx(BACK_S)


def test_a_run_without_undisturbed_tasks_or_without_tasks_is_refused(served: Path) -> None:
    write_trace(served / "straggler-trace.csv", [Disturbance(CONTENTION, 0, 0.0, 99.0)])
    with pytest.raises(UserError, match="base model went undisturbed"):
        measured_times(served)
    (served / "tasks-parity.parquet").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"tasks-parity\.parquet: not readable"):
        measured_times(served)
    (served / "tasks-parity.parquet").unlink()
    with pytest.raises(UserError, match=r"no tasks-<policy>\.parquet"):
        measured_times(served)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (column, value)
        for column in ("placed_s", "started_s", "finished_s")
        for value in (np.nan, -5.0, np.inf, -np.inf)
    ],
)
def test_tasks_at_times_that_are_none_are_refused_in_one_line(served: Path, column: str, value: float) -> None:
    damage(served / "tasks-parity.parquet", lambda table: table.assign(**{column: [*table[column][:-1], value]}))
    refused(served, "tasks-parity.parquet", column)


@pytest.mark.parametrize("name", ["tasks", "queries"])
def test_text_in_the_place_of_numbers_and_missing_columns_are_refused(served: Path, name: str) -> None:
    path = served / f"{name}-parity.parquet"
    whole = pd.read_parquet(path)
    text = {"tasks": "started_s", "queries": "completed_s"}[name]
    damage(path, lambda table: table.assign(**{text: [f"{value} s" for value in table[text]]}))
    refused(served, path.name, text, "seconds")
    for column in {"tasks": ["model", "instance", "outcome"], "queries": ["source", "query"]}[name]:
        whole.drop(columns=column).to_parquet(path, index=False)
        refused(served, path.name, column)


def test_tasks_that_end_before_they_begin_or_take_no_time_are_refused(served: Path) -> None:
    path = served / "tasks-parity.parquet"
    damage(path, lambda table: table.assign(finished_s=table["started_s"]))
    refused(served, "no time")
    damage(path, lambda table: table.assign(finished_s=table["started_s"] - 0.001))
    refused(served, path.name, "began at")


@pytest.mark.parametrize(
    "text",
    [
        '{"serve/service_time_ms": 10.', "", "[1]", "null", '{"serve/service_time_ms": "ten"}',
        '{"serve/service_time_ms": NaN}', '{"serve/service_time_ms": -3}', '{"serve/service_time_ms": 0}',
        '{"serve/service_time_ms": 1e400}', '{"serve/capacity_qps": "many"}',
        '{"serve/parity/instances": "six"}', "[" * 100_000,
    ],
)  # fmt: skip
def test_damaged_metrics_are_refused_in_one_line(served: Path, text: str) -> None:
    (served / "metrics.json").write_text(text)
    refused(served, "metrics.json")


def damage(path: Path, change: Any) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(UserError) as error:
        measured_times(folder)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words)
