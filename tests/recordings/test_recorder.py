"""The recorder: what goes in comes out, defects are counted, and files can be read at any moment."""

import timeit
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from parity_exp.policies.policy import SOURCES, AnswerSource
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.writer import LONGEST_US, SIGNIFICANT_DIGITS

QUERY_COLUMNS = [
    "query",
    "scheduled_s",
    "sent_s",
    "completed_s",
    "latency_ms",
    "source",
    "instance",
    "group",
    "corrupted",
    "flagged",
    "correct",
    "score",
    "default_correct",
    "label",
    "predicted",
]
TASK_COLUMNS = [
    "task",
    "model",
    "instance",
    "placed_s",
    "started_s",
    "finished_s",
    "outcome",
    "batch",
    "group",
    "corrupted",
]


def recorded(latencies_ms: np.ndarray, warmup: int = 0) -> Recorder:
    """Queries every 10 ms, with given latencies, all of class 1 and answered by instance 0 with class 1."""
    recorder = Recorder(len(latencies_ms) - warmup, warmup)
    for query, latency_ms in enumerate(latencies_ms):
        recorder.sent(query, 0.01 * query, 0.01 * query + 0.0001, label=1)
        recorder.answered(query, 0.01 * query + latency_ms / 1000, AnswerSource.OWN, instance=0, group=-1, predicted=1)
    return recorder


def test_a_query_comes_out_as_it_went_in() -> None:
    recorder = Recorder(2, 0)
    recorder.sent(0, 1.0, 1.001, label=3)
    recorder.sent(1, 1.5, 1.5, label=4)
    recorder.answered(1, 1.75, AnswerSource.RECONSTRUCTED, instance=5, group=7, predicted=9)
    recorder.answered(0, 1.25, AnswerSource.OWN, instance=2, group=7, predicted=3)
    table = recorder.queries()
    assert list(table.columns) == QUERY_COLUMNS
    assert table.iloc[0].to_dict() == {
        "query": 0,
        "scheduled_s": 1.0,
        "sent_s": 1.001,
        "completed_s": 1.25,
        "latency_ms": pytest.approx(250),
        "source": "own",
        "instance": 2,
        "group": 7,
        "corrupted": False,
        "flagged": False,
        "correct": True,
        "score": 1.0,
        "default_correct": False,
        "label": 3,
        "predicted": 3,
    }
    assert table["source"].tolist() == ["own", "reconstructed"]
    assert table["correct"].tolist() == [True, False]
    assert table["score"].tolist() == [1, 0]


def test_sources_have_the_names_of_the_contract() -> None:
    assert SOURCES == ("own", "reconstructed", "backup", "default", "error")
    recorder = Recorder(5, 0)
    for source in AnswerSource:
        recorder.sent(source, 0.0, 0.0, label=0)
        recorder.answered(source, 1.0, source)
    assert tuple(recorder.queries()["source"]) == SOURCES
    assert (recorder.queries()[["instance", "group", "predicted"]] == -1).all(axis=None)


def test_warm_up_is_not_in_the_table_but_counts_as_lost() -> None:
    recorder = recorded(np.full(10, 5.0), warmup=4)
    assert recorder.queries()["query"].tolist() == [4, 5, 6, 7, 8, 9]
    recorder = Recorder(1, 1)
    recorder.sent(0, 0.0, 0.0, label=0)
    assert recorder.lost == 1


def test_queries_without_an_answer_are_lost_and_those_not_sent_are_not() -> None:
    recorder = Recorder(3, 0)
    recorder.sent(0, 0.0, 0.0, label=0)
    recorder.sent(1, 0.1, 0.1, label=0)
    recorder.answered(1, 0.2, AnswerSource.OWN)
    assert recorder.lost == 1
    assert recorder.queries()["query"].tolist() == [1]


def test_a_second_answer_is_counted_and_changes_nothing() -> None:
    recorder = Recorder(1, 0)
    recorder.sent(0, 0.0, 0.0, label=0)
    recorder.answered(0, 0.1, AnswerSource.OWN, predicted=0)
    before = recorder.queries()
    recorder.answered(0, 0.2, AnswerSource.RECONSTRUCTED, predicted=1)
    assert recorder.duplicates == 1
    pd.testing.assert_frame_equal(recorder.queries(), before)


def test_an_answer_to_a_query_that_was_not_sent_is_counted_as_a_defect() -> None:
    recorder = Recorder(2, 0)
    recorder.answered(1, 0.1, AnswerSource.OWN)
    assert recorder.duplicates == 1
    assert recorder.queries().empty


def test_files_hold_what_the_tables_hold(tmp_path: Path) -> None:
    recorder = recorded(np.linspace(1, 50, 30))
    recorder.task(0, "base", 2, 0.1, 0.2, 0.3, "done", batch=0, group=0)
    recorder.task(1, "parity-0", 3, 0.1, float("nan"), 0.3, "lost", group=0)
    recorder.save(tmp_path, "parity")
    queries = pd.read_parquet(tmp_path / "queries-parity.parquet")
    pd.testing.assert_frame_equal(queries, recorder.queries())
    tasks = pd.read_parquet(tmp_path / "tasks-parity.parquet")
    assert list(tasks.columns) == TASK_COLUMNS
    pd.testing.assert_frame_equal(tasks, recorder.tasks())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "latency-parity.hlog",
        "queries-parity.parquet",
        "tasks-parity.parquet",
    ]


def test_files_of_an_interrupted_run_are_readable(tmp_path: Path) -> None:
    """Nothing sent yet, or some queries under way: the tables have the same columns and types as ever."""
    full = recorded(np.full(3, 5.0))
    full.task(0, "base", 2, 0.1, 0.2, 0.3, "done")
    empty = Recorder(1000, 10)
    empty.save(tmp_path, "none")
    for name, table in (("queries", full.queries()), ("tasks", full.tasks())):
        stored = pd.read_parquet(tmp_path / f"{name}-none.parquet")
        assert stored.empty
        assert stored.dtypes.to_dict() == table.dtypes.to_dict()
    assert serving_metrics(empty.queries(), empty.lost) == {"queries": 0, "lost": 0, "duplicates": 0}
    assert not intervals(tmp_path / "latency-none.hlog")

    empty.sent(10, 0.0, 0.0, label=0)
    empty.sent(11, 0.0, 0.0, label=0)
    empty.answered(10, 0.5, AnswerSource.OWN)
    empty.save(tmp_path, "none")
    assert len(pd.read_parquet(tmp_path / "queries-none.parquet")) == 1
    assert len(intervals(tmp_path / "latency-none.hlog")) == 1


def intervals(path: Path) -> list[HdrHistogram]:
    """What another program reads in a histogram log."""
    reader = HistogramLogReader(str(path), HdrHistogram(1, LONGEST_US, SIGNIFICANT_DIGITS))
    try:
        return list(iter(reader.get_next_interval_histogram, None))
    finally:
        reader.close()


def test_the_histogram_log_agrees_with_the_queries(tmp_path: Path) -> None:
    latencies_ms = np.random.default_rng(0).lognormal(3, 0.5, 500)
    recorder = recorded(latencies_ms)
    recorder.save(tmp_path, "hedged")
    found = intervals(tmp_path / "latency-hedged.hlog")
    completed_s = recorder.queries()["completed_s"]
    counts = np.floor(completed_s).value_counts().sort_index()
    assert [histogram.get_total_count() for histogram in found] == counts.tolist()
    assert [histogram.get_start_time_stamp() for histogram in found] == [1000 * second for second in counts.index]
    whole = HdrHistogram(1, LONGEST_US, SIGNIFICANT_DIGITS)
    for histogram in found:
        whole.add(histogram)
    exact = serving_metrics(recorder.queries())
    for share in (50, 99, 99.9):
        in_log = whole.get_value_at_percentile(share) / 1000
        assert in_log == pytest.approx(exact[f"latency_ms/p{share:g}"], rel=0.002)


def test_percentiles_are_latencies_that_were_observed() -> None:
    latencies_ms = np.arange(1.0, 1001.0)
    metrics = serving_metrics(recorded(np.random.default_rng(0).permutation(latencies_ms)).queries())
    assert metrics["latency_ms/p50"] == pytest.approx(500)
    assert metrics["latency_ms/p99"] == pytest.approx(990)
    assert metrics["latency_ms/p99.5"] == pytest.approx(995)
    assert metrics["latency_ms/p99.9"] == pytest.approx(999)
    assert metrics["latency_ms/max"] == pytest.approx(1000)
    assert metrics["latency_ms/mean"] == pytest.approx(500.5)
    assert metrics["gap_ms"] == pytest.approx(499)


def test_metrics_count_sources_and_correct_answers() -> None:
    recorder = Recorder(4, 0)
    sources = (AnswerSource.OWN, AnswerSource.OWN, AnswerSource.RECONSTRUCTED, AnswerSource.DEFAULT)
    for query, source in enumerate(sources):
        recorder.sent(query, float(query), float(query), label=query)
        recorder.answered(query, query + 1.0, source, predicted=0 if source is AnswerSource.DEFAULT else query)
    metrics = serving_metrics(recorder.queries(), lost=2, duplicates=1)
    assert metrics["accuracy"] == 0.75
    assert [metrics[f"fraction/{source}"] for source in SOURCES] == [0.5, 0.25, 0, 0.25, 0]
    assert (metrics["queries"], metrics["lost"], metrics["duplicates"]) == (4, 2, 1)
    assert metrics["throughput_qps"] == pytest.approx(1.0)


def test_metrics_tell_groups_with_one_loss_from_groups_with_two() -> None:
    recorder = Recorder(8, 0)
    lost = {0, 4, 5, 6}  # of the groups 0 (queries 0 to 3) and 1 (4 to 7)
    for query in range(8):
        recorder.sent(query, float(query), float(query), label=1)
        source = (
            AnswerSource.RECONSTRUCTED
            if query in lost - {6}
            else AnswerSource.DEFAULT
            if query in lost
            else AnswerSource.OWN
        )
        recorder.answered(query, query + 1.0, source, group=query // 4, predicted=0 if query == 5 else 1)
    metrics = serving_metrics(recorder.queries())
    by_losses = {name: value for name, value in metrics.items() if name.startswith("losses_")}
    assert by_losses == {
        "losses_1/groups": 1, "losses_1/accuracy": 1.0, "losses_2/groups": 1, "losses_2/accuracy": 0.5,
    }  # fmt: skip


def test_recording_a_query_costs_a_fraction_of_what_carrying_it_costs() -> None:
    """Against a yardstick on the same machine: a query costs less than 60 stores in an array."""
    recorder = Recorder(10_000, 0)
    column = np.zeros(10_000)

    def record() -> None:
        for query in range(10_000):
            recorder.sent(query, 0.1, 0.2, 3)
            recorder.answered(query, 0.3, 0, 1, 2, 3)

    def store() -> None:
        for query in range(10_000):
            column[query] = 0.1

    assert min(timeit.repeat(record, number=1, repeat=5)) < 60 * min(timeit.repeat(store, number=1, repeat=5))


def test_corrupted_answers_are_counted_by_who_noticed() -> None:
    recorder = Recorder(4, 0)
    for query in range(4):
        recorder.sent(query, 0.0, 0.0, label=1)
    recorder.task(7, "base", 0, 0.0, 0.0, 0.1, "done", batch=0, corrupted=True)
    recorder.task(8, "base", 1, 0.0, 0.0, 0.1, "done", batch=1)
    assert recorder.tasks()["corrupted"].tolist() == [True, False]
    assert recorder.is_corrupted([8, 7]) and not recorder.is_corrupted([8])
    for query, corrupted in enumerate((True, True, False, False)):
        recorder.answered(query, 0.1, AnswerSource.OWN, predicted=1, corrupted=corrupted)
    recorder.checked([7, 8], True, [1, 2])
    recorder.checked([8], False, [])
    recorder.checked([8, 9], True, [])
    metrics = serving_metrics(recorder.queries())
    shares = {name: metrics[f"fraction/{name}"] for name in ("corrupted", "flagged", "unnoticed")}
    assert shares == {"corrupted": 0.5, "flagged": 0.5, "unnoticed": 0.25}
    assert recorder.check_metrics() == {"checks": 3, "detection_rate": 1, "false_alarm_rate": 0.5}


def test_without_checks_there_is_nothing_to_say_of_them() -> None:
    assert Recorder(4, 0).check_metrics() == {}
