"""What happened to every query and every task of one policy, kept in memory while serving and written at the end.

The recorder is on the path of every query, so a call stores a few numbers in arrays that were made before the run
and does nothing else; tables, histograms and files are made when they are asked for. They can be asked for at any
time: after an interruption they hold what had happened until then.

All times are seconds from the beginning of the run.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from parity_exp.policies.policy import SOURCES
from parity_exp.recordings import columns
from parity_exp.recordings.writer import write_recordings
from parity_exp.tasks import Classification, Task

Answer = int | Sequence[float]
"""What a client is told, or should have been: a class, or a box."""

CLASSES = Classification(())
"""The task of labels and answers that are numbers of classes, however many there are."""

TASKS = columns.TASKS | columns.SPOILT

Outcome = Literal["done", "raised", "lost", "stopped"]

NOT_SENT, WAITING = -2, -1  # states of a query without an answer, beside the sources

LATEST_TASKS = 1_000

_Task = tuple[int, str, int, float, float, float, Outcome, int, int, bool]


@dataclass(frozen=True)
class RecordedApart:
    """What one of several recorders has recorded, but for what all write into the same memory.

    Attributes:
        tasks: rows of :data:`TASKS`.
        checks: comparisons of outputs, by whether one was corrupted and whether they contradicted each other.
        duplicates: answers too many.
    """

    tasks: list[_Task]
    checks: NDArray[np.int64]
    duplicates: int


class Recorder:
    """Records one policy's run.

    Queries are numbered from 0 in the order of their arrivals; the first ``warmup`` of them are watched for losses
    and double answers like all others, and left out of the tables.

    Args:
        queries: measured queries.
        warmup: queries before them.
        task: says what answers and labels are, and how good an answer is.
        default: the default answer; None where there is none.
        labelled: whether there are true answers; otherwise nothing is said of how good answers are.
        zeros: makes an array of a shape and type: what is recorded of queries goes there. In memory that several
            processes share, each has a copy of the recorder and records queries of its own; what it records beside
            them, :meth:`apart` gives and :meth:`add` takes.

    Attributes:
        duplicates: answers to queries that had one already or were not sent. Anything but 0 is a defect of the
            frontend or the policy; the first answer counts.
        frontend_of: ``(total,)``, of several frontends the one that each query went to; None: there was one.
    """

    def __init__(
        self,
        queries: int,
        warmup: int,
        task: Task = CLASSES,
        default: Answer | None = None,
        labelled: bool = True,
        zeros: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.zeros,
    ) -> None:
        total = queries + warmup
        self.warmup = warmup
        self.duplicates = 0
        self.frontend_of: NDArray[np.int64] | None = None
        self._scheduled_s = zeros((total,), np.float64)
        self._sent_s = zeros((total,), np.float64)
        self._completed_s = zeros((total,), np.float64)
        nothing = np.asarray(task.no_answer)
        self._task = task
        self._labelled = labelled
        self._default = nothing if default is None else np.asarray(default, dtype=nothing.dtype)
        self._label = zeros((total, *nothing.shape), nothing.dtype)
        self._predicted = zeros((total, *nothing.shape), nothing.dtype)
        self._label[:] = self._predicted[:] = nothing
        self._instance = zeros((total,), np.int64)
        self._group = zeros((total,), np.int64)
        self._state = zeros((total,), np.int8)
        self._state[:] = NOT_SENT
        self._corrupted = zeros((total,), np.bool_)
        self._flagged = zeros((total,), np.bool_)
        self._not_finite = zeros((total,), np.bool_)
        self._tasks: list[_Task] = []
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
            source: a :class:`~parity_exp.policies.policy.AnswerSource`, or its value.
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

    def apart(self) -> RecordedApart:
        """What this one of several recorders has beside what all have in common."""
        return RecordedApart(self._tasks, self._checks, self.duplicates)

    def add(self, other: RecordedApart) -> None:
        """Take what another has recorded; tasks are in the order of their ends again."""
        self._tasks = sorted([*self._tasks, *other.tasks], key=lambda row: row[5])
        self._corrupted_tasks.update(row[0] for row in other.tasks if row[-1])
        self._checks += other.checks
        self.duplicates += other.duplicates

    def without_answer(self, queries: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some queries have not been sent, and which have and wait."""
        state = self._state[queries]
        return queries[state == NOT_SENT], queries[state == WAITING]

    @property
    def lost(self) -> int:
        """Queries, warm-up included, that were sent and have no answer."""
        return int(np.count_nonzero(self._state == WAITING))

    def queries(self) -> pd.DataFrame:
        """A row a measured query that has been answered, in the order of their arrivals.

        ``score`` is the task's quality of the answer, and the table's ``attrs`` say which that is; ``correct`` whether
        the client would call it right, ``default_correct`` whether it would have called the default answer right.
        Further scores of the task have columns of their own names, which ``attrs`` list as ``more_scores``.
        ``corrupted``: a corrupted output went into it; ``flagged``: a policy has found that it may be wrong.
        """
        rows = np.flatnonzero(self._state >= 0)
        rows = rows[rows >= self.warmup]
        label, predicted = self._label[rows], self._predicted[rows]
        scheduled_s, completed_s = self._scheduled_s[rows], self._completed_s[rows]
        values = {
            "query": rows,
            "scheduled_s": scheduled_s,
            "sent_s": self._sent_s[rows],
            "completed_s": completed_s,
            "latency_ms": (completed_s - scheduled_s) * 1000,
            "source": np.array(SOURCES)[self._state[rows]],
            "instance": self._instance[rows],
            "group": self._group[rows],
            "corrupted": self._corrupted[rows],
            "flagged": self._flagged[rows],
        }
        if self.frontend_of is not None:
            values["frontend"] = self.frontend_of[rows]
        kinds, answers = (
            columns.QUERIES | columns.FRONTEND | columns.ANSWERS,
            self._task.columns("predicted", predicted),
        )
        more: dict[str, Any] = {}
        if self._labelled:
            scores = self._scores(predicted, label)
            more = {name: of for name, of in scores.items() if name not in ("accuracy", self._task.quality)}
            values |= self._how_good(scores, label)
            answers = {**self._task.columns("label", label), **answers, **more}
        table = columns.frame({name: kinds[name] for name in kinds if name in values}, values)
        table = pd.concat([table, pd.DataFrame(answers, index=table.index)], axis="columns")
        if self._labelled:
            table.attrs |= {"quality": self._task.quality, "more_scores": list(more)}
        return table

    def _how_good(self, scores: dict[str, NDArray[np.float64]], label: NDArray[Any]) -> dict[str, Any]:
        """Columns that compare answers with true ones."""
        return {
            "correct": scores["accuracy"] > 0,
            "score": scores[self._task.quality],
            "default_correct": self._scores(np.broadcast_to(self._default, label.shape), label)["accuracy"] > 0,
        }

    def _scores(self, answers: NDArray[Any], labels: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        scores = self._task.answer_scores(torch.tensor(answers), torch.tensor(labels))
        return {name: values.numpy().astype(np.float64) for name, values in scores.items()}

    def tasks(self) -> pd.DataFrame:
        """A row a task that was placed on an instance and has ended, in the order of their ends."""
        return pd.DataFrame(self._tasks, columns=list(TASKS)).astype(TASKS)

    def save(self, folder: Path, policy: str) -> list[Path]:
        """Write queries, tasks and the latency log of a policy; return the paths.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        return write_recordings(folder, policy, self.queries(), self.tasks())
