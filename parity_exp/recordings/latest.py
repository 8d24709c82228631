"""The recorder of what never ends: it keeps the latest queries and tasks, in memory that does not grow."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from parity_exp.recordings.recorder import CLASSES, WAITING, Answer, Outcome, Recorder
from parity_exp.tasks import Task

TASKS_A_QUERY = 2
"""So many tasks are kept for each query that is."""


class LatestRecorder(Recorder):
    """Records like :class:`Recorder`, and forgets all but the latest.

    Args:
        keep: so many queries; the answer of one that has been forgotten by then counts as a double answer, so that it
            is to be more than can wait at a time.
        task: says what answers are, and how good an answer is.
        default: the default answer; None where there is none.
        labelled: whether there are true answers.

    Attributes:
        flagged: queries that a policy has found that they may be wrong, forgotten ones included.
    """

    def __init__(self, keep: int, task: Task = CLASSES, default: Answer | None = None, labelled: bool = False) -> None:
        super().__init__(keep, 0, task, default, labelled)
        self._keep = keep
        self._numbers = np.full(keep, -1, dtype=np.int64)
        self._forgotten_waiting = 0
        self.flagged = 0

    def sent(self, query: int, scheduled_s: float, sent_s: float, label: Answer | None = None) -> None:
        place = query % self._keep
        self._forgotten_waiting += int(self._state[place] == WAITING)
        self._numbers[place] = query
        self._corrupted[place] = self._flagged[place] = self._not_finite[place] = False
        self._predicted[place] = self._task.no_answer
        super().sent(place, scheduled_s, sent_s, self._task.no_answer if label is None else label)

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
        place = query % self._keep
        if self._numbers[place] != query:
            self.duplicates += 1
            return
        super().answered(place, completed_s, source, instance, group, predicted, corrupted)

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
        super().task(
            task, model, instance, placed_s, started_s, finished_s, outcome, int(batch), group, corrupted
        )  # fmt: skip
        most = TASKS_A_QUERY * self._keep
        if len(self._tasks) >= 2 * most:
            del self._tasks[:-most]
            oldest = min(row[0] for row in self._tasks)
            self._corrupted_tasks = {number for number in self._corrupted_tasks if number >= oldest}

    def checked(self, tasks: Iterable[int], alarm: bool, suspected: Iterable[int]) -> None:
        there = [query % self._keep for query in suspected if self._numbers[query % self._keep] == query]
        self.flagged += sum(not self._flagged[place] for place in there)
        super().checked(tasks, alarm, there)

    def not_finite(self, query: int, flag: bool) -> None:
        place = query % self._keep
        if self._numbers[place] == query:
            self.flagged += int(flag and not self._flagged[place])
            super().not_finite(place, flag)

    @property
    def lost(self) -> int:
        return super().lost + self._forgotten_waiting

    def queries(self) -> pd.DataFrame:
        table = super().queries()
        table["query"] = self._numbers[table["query"].to_numpy()]
        return table.sort_values("query", ignore_index=True)

    def tasks(self) -> pd.DataFrame:
        table = super().tasks()
        return table.iloc[-TASKS_A_QUERY * self._keep :].reset_index(drop=True)
