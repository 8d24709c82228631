"""The judge of real serving: it looks at outputs, and puts on record what it finds."""

import time
from collections.abc import Collection
from statistics import median

import torch

from parity_exp.coding.consistency import Consistency
from parity_exp.policies.judge import Judge
from parity_exp.policies.policy import Group, Work
from parity_exp.recordings.recorder import Recorder
from parity_exp.tasks.task import relative_difference

SAME = 1e-4
"""Outputs of one model for one query may differ by this much (relative, squared): devices round differently."""


class OutputJudge(Judge):
    """Compares outputs.

    Args:
        recorder: is told of every comparison.
        consistency: of groups; None for policies that have none compared.

    Attributes:
        check_s: how long each comparison of a group took.
    """

    def __init__(self, recorder: Recorder, consistency: Consistency | None) -> None:
        self.recorder = recorder
        self.consistency = consistency
        self.check_s: list[float] = []

    def suspects(self, group: Group) -> Collection[int]:
        """The outputs of a group that are wrong in any of the elements that its parity queries cover."""
        assert self.consistency is not None
        started_s = time.perf_counter()
        own = [task for task in group.own if task is not None]
        parities = [task for task in group.parities if task is not None]
        numbers = [task.number for task in (*own, *parities)]
        suspects: set[int] = set()
        for element in range(group.elements):
            outputs = [task.result[element] for task in (*own, *parities)]
            wrong = self.consistency.wrong(torch.stack(outputs[: len(own)]), torch.stack(outputs[len(own) :]))
            if wrong == ():  # but for what cannot be right
                wrong = tuple(place for place, output in enumerate(outputs) if not output.isfinite().all())
            places = wrong or range(len(own))  # where it cannot be told which, any may be
            suspected = [] if wrong is None else [place for place in places if place < len(own)]
            queries = [group.members[place].queries[element] for place in suspected]
            self.recorder.checked(numbers, wrong is not None, queries)
            suspects.update(wrong or ())
        self.check_s.append(time.perf_counter() - started_s)
        return suspects

    def agree(self, task: Work, other: Work) -> bool:
        """Whether two results of a batch are the same, but for rounding."""
        assert task.batch is not None
        same = bool((relative_difference(task.result, other.result) <= SAME).all())
        self.recorder.checked((task.number, other.number), not same, () if same else task.batch.queries)
        return same

    def metrics(self) -> dict[str, float]:
        """How good comparisons were, and what they cost: a median in microseconds."""
        times = {"check_us": median(self.check_s) * 1e6} if self.check_s else {}
        return self.recorder.check_metrics() | times
