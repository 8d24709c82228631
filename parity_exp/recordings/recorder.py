"""What happened to every query and every task of one policy, kept in memory while serving and written at the end.

The recorder is on the path of every query, so a call stores a few numbers in arrays that were made before the run
and does nothing else; tables, histograms and files are made when they are asked for. They can be asked for at any
time: after an interruption they hold what had happened until then.

All times are seconds from the beginning of the run.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from hdrh.log import HistogramLogWriter  # type: ignore[import-untyped]
from numpy.typing import NDArray

from parity_exp.files.writing import write_bytes, write_text
from parity_exp.policies.policy import SOURCES
from parity_exp.tasks import Classification, Task

Answer = int | Sequence[float]
"""What a client is told, or should have been: a class, or a box."""

CLASSES = Classification(())
"""The task of labels and answers that are numbers of classes, however many there are."""

Outcome = Literal["done", "raised", "lost"]

NOT_SENT, WAITING = -2, -1  # states of a query without an answer, beside the sources

LATEST_TASKS = 1_000
INTERVAL_S = 1.0
LONGEST_US = 3_600_000_000  # an hour: what the histograms reach at least
SIGNIFICANT_DIGITS = 3
EXACT_BITS = 10  # that come after the first and tell buckets apart, for so many digits

TASK_TYPES = {
    "task": "int64",
    "model": "str",
    "instance": "int64",
    "placed_s": "float64",
    "started_s": "float64",
    "finished_s": "float64",
    "outcome": "str",
    "batch": "int64",
    "group": "int64",
    "corrupted": "bool",
}
"""Columns of the tasks table."""


class Recorder:
    """Records one policy's run.

    Queries are numbered from 0 in the order of their arrivals; the first ``warmup`` of them are watched for losses
    and double answers like all others, and left out of the tables.

    Args:
        queries: measured queries.
        warmup: queries before them.
        task: says what answers and labels are, and how good an answer is.
        default: the default answer; None where there is none.

    Attributes:
        duplicates: answers to queries that had one already or were not sent. Anything but 0 is a defect of the
            frontend or the policy; the first answer counts.
    """

    def __init__(self, queries: int, warmup: int, task: Task = CLASSES, default: Answer | None = None) -> None:
        total = queries + warmup
        self.warmup = warmup
        self.duplicates = 0
        self._scheduled_s = np.zeros(total)
        self._sent_s = np.zeros(total)
        self._completed_s = np.zeros(total)
        nothing = np.asarray(task.no_answer)
        self._task = task
        self._default = nothing if default is None else np.asarray(default, dtype=nothing.dtype)
        self._label = np.full((total, *nothing.shape), nothing)
        self._predicted = np.full((total, *nothing.shape), nothing)
        self._instance = np.zeros(total, dtype=np.int64)
        self._group = np.zeros(total, dtype=np.int64)
        self._state = np.full(total, NOT_SENT, dtype=np.int8)
        self._corrupted = np.zeros(total, dtype=bool)
        self._flagged = np.zeros(total, dtype=bool)
        self._not_finite = np.zeros(total, dtype=bool)
        self._tasks: list[tuple[int, str, int, float, float, float, Outcome, int, int, bool]] = []
        self._corrupted_tasks: set[int] = set()
        self._checks = np.zeros((2, 2), dtype=np.int64)

    def sent(self, query: int, scheduled_s: float, sent_s: float, label: Answer) -> None:
        """A query has reached the frontend.

        Args:
            query: its number.
            scheduled_s: when it was due by the load; latency counts from here.
            sent_s: when it was really handed over.
            label: the true answer.
        """
        self._scheduled_s[query] = scheduled_s
        self._sent_s[query] = sent_s
        self._label[query] = label
        self._state[query] = WAITING

    def answered(
        self,
        query: int,
        completed_s: float,
        source: int,
        instance: int = -1,
        group: int = -1,
        predicted: Answer | None = None,
        corrupted: bool = False,
    ) -> None:
        """A query's client has its answer.

        Args:
            query: its number.
            completed_s: when.
            source: a :class:`Source`, or its value.
            instance: that gave the answer; -1 none.
            group: the query's coding group; -1 none.
            predicted: what the client was told; None nothing.
            corrupted: a corrupted output went into it.
        """
        if self._state[query] != WAITING:
            self.duplicates += 1
            return
        self._state[query] = source
        self._completed_s[query] = completed_s
        self._instance[query] = instance
        self._group[query] = group
        self._corrupted[query] = corrupted
        if predicted is not None:
            self._predicted[query] = predicted

    def task(
        self,
        task: int,
        model: str,
        instance: int,
        placed_s: float,
        started_s: float,
        finished_s: float,
        outcome: Outcome,
        batch: int = -1,
        group: int = -1,
        corrupted: bool = False,
    ) -> None:
        """A task that was placed on an instance has ended.

        Args:
            task: its number.
            model: that it ran.
            instance: where.
            placed_s: when it was sent there.
            started_s: when the instance began with it; NaN where that is not known.
            finished_s: when its result, its error or the news of its loss came.
            outcome: which of these.
            batch: the batch of queries that it held; -1 for a parity task.
            group: the coding group; -1 none.
            corrupted: its outputs were spoilt on purpose.
        """
        self._tasks.append((task, model, instance, placed_s, started_s, finished_s, outcome, batch, group, corrupted))
        if corrupted:
            self._corrupted_tasks.add(task)

    def typical_task_s(self) -> float:
        """The median of what the latest tasks took that are done, 0 while there are none."""
        times_s = [row[5] - row[4] for row in self._tasks[-LATEST_TASKS:] if row[6] == "done"]
        return float(np.median(times_s)) if times_s else 0.0

    def is_corrupted(self, tasks: Iterable[int]) -> bool:
        """Whether the outputs of any of these tasks were spoilt."""
        return not self._corrupted_tasks.isdisjoint(tasks)

    def checked(self, tasks: Iterable[int], alarm: bool, suspected: Iterable[int]) -> None:
        """The outputs of some tasks were compared.

        Args:
            tasks: their numbers.
            alarm: they contradict each other.
            suspected: the queries whose answers may be wrong then.
        """
        self._checks[int(self.is_corrupted(tasks)), int(alarm)] += 1
        for query in suspected:
            self._flagged[query] = True

    def not_finite(self, query: int, flag: bool) -> None:
        """A query's answer comes from outputs that are NaN or infinite.

        Args:
            query: its number.
            flag: it counts as one that may be wrong.
        """
        self._not_finite[query] = True
        self._flagged[query] |= flag

    def not_finite_metrics(self) -> dict[str, float]:
        """``fraction/not_finite``: the share of such answers among those measured, where there were any."""
        rows = self._state >= 0
        rows[: self.warmup] = False
        share = float(self._not_finite[rows].mean()) if rows.any() else 0.0
        return {"fraction/not_finite": share} if share else {}

    def check_metrics(self) -> dict[str, float]:
        """How many comparisons there were, warm-up included, and how good; without any there is nothing to say.

        ``detection_rate`` is the share of those with a corrupted output that found a contradiction,
        ``false_alarm_rate`` that of the others.
        """
        of = dict(zip(("false_alarm_rate", "detection_rate"), self._checks, strict=True))
        rates = {name: float(alarms / (quiet + alarms)) for name, (quiet, alarms) in of.items() if quiet + alarms}
        return {"checks": float(self._checks.sum()), **rates} if rates else {}

    @property
    def lost(self) -> int:
        """Queries, warm-up included, that were sent and have no answer."""
        return int(np.count_nonzero(self._state == WAITING))

    def queries(self) -> pd.DataFrame:
        """A row a measured query that has been answered, in the order of their arrivals.

        ``score`` is the task's quality of the answer, and the table's ``attrs`` say which that is; ``correct`` whether
        the client would call it right, ``default_correct`` whether it would have called the default answer right.
        ``corrupted``: a corrupted output went into it; ``flagged``: a policy has found that it may be wrong.
        """
        rows = np.flatnonzero(self._state >= 0)
        rows = rows[rows >= self.warmup]
        label, predicted = self._label[rows], self._predicted[rows]
        scores = self._scores(predicted, label)
        scheduled_s, completed_s = self._scheduled_s[rows], self._completed_s[rows]
        table = pd.DataFrame(
            {
                "query": rows,
                "scheduled_s": scheduled_s,
                "sent_s": self._sent_s[rows],
                "completed_s": completed_s,
                "latency_ms": (completed_s - scheduled_s) * 1000,
                "source": pd.Series(np.array(SOURCES)[self._state[rows]], dtype="str"),
                "instance": self._instance[rows],
                "group": self._group[rows],
                "corrupted": self._corrupted[rows],
                "flagged": self._flagged[rows],
                "correct": scores["accuracy"] > 0,
                "score": scores[self._task.quality],
                "default_correct": self._scores(np.broadcast_to(self._default, label.shape), label)["accuracy"] > 0,
                **self._task.columns("label", label),
                **self._task.columns("predicted", predicted),
            }
        )
        table.attrs["quality"] = self._task.quality
        return table

    def _scores(self, answers: NDArray[Any], labels: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        scores = self._task.answer_scores(torch.tensor(answers), torch.tensor(labels))
        return {name: values.numpy().astype(np.float64) for name, values in scores.items()}

    def tasks(self) -> pd.DataFrame:
        """A row a task that was placed on an instance and has ended, in the order of their ends."""
        return pd.DataFrame(self._tasks, columns=list(TASK_TYPES)).astype(TASK_TYPES)

    def save(self, folder: Path, policy: str) -> list[Path]:
        """Write queries, tasks and the latency log of a policy; return the paths.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        return write_recordings(folder, policy, self.queries(), self.tasks())


def write_recordings(folder: Path, policy: str, queries: pd.DataFrame, tasks: pd.DataFrame) -> list[Path]:
    """Write the queries, tasks and latency log of a policy; return the paths.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    paths = [folder / f"queries-{policy}.parquet", folder / f"tasks-{policy}.parquet"]
    for path, table in zip(paths, (queries, tasks), strict=True):
        stream = io.BytesIO()
        table.to_parquet(stream, index=False)
        write_bytes(path, stream.getvalue())
    log = folder / f"latency-{policy}.hlog"
    write_text(log, latency_log(queries))
    return [*paths, log]


def latency_log(queries: pd.DataFrame) -> str:
    """An HdrHistogram log, format 1.2: a histogram of latencies in microseconds for each second of completions.

    The interval's greatest value, its third column, is in milliseconds.
    """
    stream = io.StringIO()
    log = HistogramLogWriter(stream)
    log.output_log_format_version()
    log.output_comment("[latency from the scheduled arrival, in microseconds; times from the beginning of the run]")
    log.output_legend()
    longest_us = max(LONGEST_US, int(np.ceil(queries["latency_ms"].max() * 1000))) if len(queries) else LONGEST_US
    interval = np.floor(queries["completed_s"].to_numpy() / INTERVAL_S).astype(np.int64)
    latency_us = np.rint(queries["latency_ms"].to_numpy() * 1000).clip(1, longest_us).astype(np.int64)
    order = np.argsort(interval, kind="stable")
    found, counts = np.unique(interval, return_counts=True)
    ends = np.cumsum(counts)
    for index, first, last in zip(found, ends - counts, ends, strict=True):
        values = latency_us[order[first:last]]
        histogram = HdrHistogram(1, longest_us, SIGNIFICANT_DIGITS)
        for value, count in zip(*np.unique(_buckets(values), return_counts=True), strict=True):
            histogram.record_value(int(value), int(count))
        histogram.set_start_time_stamp(index * INTERVAL_S * 1000)
        histogram.set_end_time_stamp((index + 1) * INTERVAL_S * 1000)
        log.output_interval_histogram(histogram, max_value_unit_ratio=1000.0)
    return stream.getvalue()


def _buckets(latency_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least value in the histogram's bucket of each, so that each bucket is recorded once."""
    spare_bits = np.maximum(np.floor(np.log2(latency_us)).astype(np.int64) - EXACT_BITS, 0)
    return latency_us >> spare_bits << spare_bits
