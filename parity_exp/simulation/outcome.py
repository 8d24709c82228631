"""What happened in a simulation: numbers in flat arrays while it runs, numpy arrays and tables afterwards."""

from array import array
from collections.abc import Sequence
from math import nan
from struct import Struct
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parity_exp.policies.policy import SOURCES, AnswerSource, Batch, Work
from parity_exp.recordings import columns
from parity_exp.recordings.costs import Given

WAITING, NOT_SENT = -1, -2  # states of a query without an answer, beside the sources

RUNNING, DONE, RAISED, LOST, STOPPED = range(-1, 4)
OUTCOMES = np.array(["done", "raised", "lost", "stopped"])

_QUERY = np.dtype([("completed_s", "f8"), ("group", "i8"), ("instance", "i4"), ("source", "i1")])
_TASK = np.dtype(
    [
        ("placed_s", "f8"), ("started_s", "f8"), ("finished_s", "f8"), ("batch", "i8"), ("group", "i8"),
        ("instance", "i4"), ("size", "i4"), ("model", "i1"), ("outcome", "i1"),
    ]
)  # fmt: skip
"""What is kept of a query, and of a task."""

_pack_query_into = Struct("=dqib").pack_into
_pack_task = Struct("=dddqqiibb").pack
"""Make rows of them, in one call."""

_QUERY_SIZE = _QUERY.itemsize
_SOURCE_AT = 20
_NEGATIVE = 0x80
"""The byte of a row that is its source, which is not below this where the source is negative: there is no answer."""


class Outcome:
    """What became of every query and of every task. All times are seconds from the beginning of the run.

    Queries are numbered in the order of their arrivals, tasks in the order of their placements. Everything is there at
    any time, of an interrupted simulation what had happened until then.

    Args:
        total: queries.

    Attributes:
        answers: how many queries were answered, those included that had an answer.
        duplicates: answers to queries that had one; anything but 0 is a defect of the policy.
        now_s: how far the simulation has come.
        instances: how many there were.
        replaces_queries: the policy's coded queries went out in the place of clients' queries.
        frontend_of: ``(total,)``, of several frontends the one that each query went to; None: there was one.
    """

    def __init__(self, total: int) -> None:
        self.answers = 0
        self.duplicates = 0
        self.now_s = 0.0
        self.instances = 0
        self.replaces_queries = False
        self._arrivals_s = array("d", bytes(8 * total))
        self.frontend_of: NDArray[np.int64] | None = None
        self._query_rows = bytearray(np.array([(0.0, -1, -1, NOT_SENT)], dtype=_QUERY).tobytes() * total)
        self._models: dict[str, int] = {}
        self._task_rows = bytearray()

    # ---- while it runs

    def answered(self, batch: Batch, elements: Sequence[int], source: AnswerSource, work: Work | None) -> None:
        """Some queries of a batch have their answers now."""
        queries, group, rows = batch.queries, batch.group, self._query_rows
        for query in queries if len(elements) == len(queries) else [queries[element] for element in elements]:
            self.answers += 1
            row = query * _QUERY_SIZE
            if rows[row + _SOURCE_AT] < _NEGATIVE:
                self.duplicates += 1
                continue
            instance = -1 if work is None else work.instance
            number = -1 if group is None else group.number
            _pack_query_into(rows, row, self.now_s, number, instance, source)

    def placed(self, task: Work, placed_s: float, started_s: float, finished_s: float) -> None:
        """An instance was given a task, and will begin and finish it at these times unless something else is said."""
        batch = task.batch
        if batch is not None:
            group, queries = batch.group, batch.queries
            first, size = queries[0], len(queries)
        else:
            group, first = task.group, -1
            size = group.elements if group is not None else 0
        try:
            model = self._models[task.model]
        except KeyError:
            model = self._models[task.model] = len(self._models)
        number = -1 if group is None else group.number
        self._task_rows += _pack_task(placed_s, started_s, finished_s, first, number, task.instance, size, model, DONE)

    @property
    def _tasks(self) -> NDArray[Any]:
        """Rows of :data:`_TASK`; let go of it before the next task is placed."""
        return np.frombuffer(self._task_rows, dtype=_TASK)

    def ended(self, number: int, outcome: int) -> None:
        """A task has not come to its end as it should."""
        self._tasks["outcome"][number] = outcome

    def lost_task(self, number: int, now_s: float) -> None:
        """A task's instance was killed at a time."""
        self.ended(number, LOST)
        self._tasks["finished_s"][number] = now_s

    def stopped_task(self, number: int, now_s: float) -> None:
        """An instance has stopped at a task, as it was told."""
        self.ended(number, STOPPED)
        self._tasks["finished_s"][number] = now_s

    def arrived(self, arrivals_s: "array[float]") -> None:
        """So many queries, the first ones, had arrived at these times when the simulation ended."""
        self._arrivals_s[: len(arrivals_s)] = arrivals_s
        source = self.source[: len(arrivals_s)]
        source[source == NOT_SENT] = WAITING

    # ---- afterwards

    @property
    def _queries(self) -> NDArray[Any]:
        """Rows of :data:`_QUERY`."""
        return np.frombuffer(self._query_rows, dtype=_QUERY)

    @property
    def scheduled_s(self) -> NDArray[np.float64]:
        """``(queries,)``: when each query arrived, which its latency counts from."""
        return np.frombuffer(self._arrivals_s)

    @property
    def completed_s(self) -> NDArray[np.float64]:
        """``(queries,)``: when each was answered; NaN for those that were not."""
        return np.where(self.source >= 0, self._queries["completed_s"], nan)

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """``(queries,)``: milliseconds from arrival to answer; NaN without one."""
        return (self.completed_s - self.scheduled_s) * 1000

    @property
    def source(self) -> NDArray[np.int8]:
        """``(queries,)``: a :class:`~parity_exp.policies.policy.AnswerSource`; -1 for no answer, -2 for not arrived."""
        return self._queries["source"]

    @property
    def instance(self) -> NDArray[np.int32]:
        """``(queries,)``: the instance whose task gave or completed the answer; -1 none."""
        return self._queries["instance"]

    @property
    def group(self) -> NDArray[np.int64]:
        """``(queries,)``: number of the coding group; -1 none."""
        return self._queries["group"]

    @property
    def lost(self) -> int:
        """Queries that arrived and have no answer."""
        return int(np.count_nonzero(self.source == WAITING))

    @property
    def tasks_placed(self) -> int:
        """Tasks that instances were given."""
        return len(self._task_rows) // _TASK.itemsize

    def queries(self, warmup: int = 0) -> pd.DataFrame:
        """A row a query that was answered, in the order of arrivals, as ``queries-<policy>.parquet`` holds them.

        There are no predictions in a simulation, so nothing is said of their being right.

        Args:
            warmup: so many queries at the beginning are left out.
        """
        rows = np.flatnonzero(self.source >= 0)
        rows = rows[rows >= warmup]
        scheduled_s, completed_s = self.scheduled_s[rows], self.completed_s[rows]
        values = {
            "query": rows,
            "scheduled_s": scheduled_s,
            "sent_s": scheduled_s,
            "completed_s": completed_s,
            "latency_ms": (completed_s - scheduled_s) * 1000,
            "source": np.array(SOURCES)[self.source[rows]],
            "instance": self.instance[rows],
            "group": self.group[rows],
        }
        if self.frontend_of is None:
            return columns.frame(columns.QUERIES, values)
        return columns.frame(columns.QUERIES | columns.FRONTEND, values | {"frontend": self.frontend_of[rows]})

    def tasks(self) -> pd.DataFrame:
        """A row a task that has ended, in the order of their ends, as ``tasks-<policy>.parquet`` holds them."""
        tasks = self._tasks
        rows = np.flatnonzero(tasks["outcome"] != RUNNING)
        rows = rows[np.argsort(tasks["finished_s"][rows], kind="stable")]
        ended = tasks[rows]
        models = np.array(list(self._models) or [""])
        # When a lost task would have begun is known here, but nobody could have seen it.
        known = ended["outcome"] == DONE
        return columns.frame(
            columns.TASKS,
            {
                "task": rows,
                "model": models[ended["model"]],
                "instance": ended["instance"],
                "placed_s": ended["placed_s"],
                "started_s": np.where(known, ended["started_s"], nan),
                "finished_s": ended["finished_s"],
                "outcome": OUTCOMES[ended["outcome"]],
                "batch": ended["batch"],
                "group": ended["group"],
            },
        )

    def costs(self) -> dict[str, float]:
        """What answering has cost, warm-up included, as :meth:`~parity_exp.recordings.costs.Given.costs` has it.

        ``busy`` is the share of the time that instances worked.
        """
        tasks = self._tasks
        batch, size = tasks["batch"], tasks["size"]
        own = batch >= 0
        _, places = np.unique(batch[own], return_index=True)
        first = int(size[own][places].sum())
        given = Given(first, parity=int(size[~own].sum()), repeated=int(size[own].sum()) - first)
        answered = int(np.count_nonzero(self.source >= 0))
        stopped = np.count_nonzero(tasks["outcome"] == STOPPED)
        stops = {"stopped_tasks": float(stopped)} if stopped else {}
        return given.costs(answered, self.replaces_queries) | {"busy": self._busy()} | stops

    def _busy(self) -> float:
        """Share of the time that instances worked, the mean over instances, from 0 to the end of the run."""
        tasks = self._tasks
        done = tasks[(tasks["outcome"] == DONE) | (tasks["outcome"] == STOPPED)]
        worked_s = done["finished_s"] - done["started_s"]
        return float(worked_s.sum()) / (self.now_s * self.instances) if self.now_s else 0.0
