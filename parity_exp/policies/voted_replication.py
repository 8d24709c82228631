"""Voted replication: an answer goes out when a second copy says the same."""

from typing import Annotated

from annotated_types import Ge, Le

from parity_exp.policies.look import Look
from parity_exp.policies.policy import Batch, Task
from parity_exp.policies.replication import Replication
from parity_exp.ranges import Delay


class VotedReplication(Replication):
    """Every query goes to ``factor`` instances, and what two of them agree on is the answer.

    Three copies put one wrong answer right, two can only tell that one is wrong. Where all have answered and no two
    agree, and where the second answer takes longer than ``wait_ms``, the first one goes out.

    Args:
        factor: copies of a query.
        wait_ms: how long an answer is held at most.

    Raises:
        ValueError: a factor below 2, or a negative time.
    """

    looks = (
        Look(
            "voted_replication",
            "#7a3b69",
            idea="Sends every query to three instances and answers with what two agree on.",
            machines="2 m",
            answer="exact",
            weakness="three times the work",
            source="triple modular redundancy",
        ),
    )

    flags_answers = True

    def __init__(self, k: int, r: int, factor: Annotated[int, Ge(2), Le(100)] = 3, wait_ms: Delay = 50.0) -> None:
        super().__init__(k, r, factor)
        if wait_ms < 0:
            raise ValueError(f"wait_ms={wait_ms}: expected a time of 0 or more")
        self.wait_s = wait_ms / 1e3
        self.held: dict[Batch, list[Task]] = {}

    def finished(self, task: Task, now_s: float) -> None:
        super().finished(task, now_s)
        batch = task.batch
        if batch in self.held:
            self.actions.set_timer(now_s + self.wait_s, batch)

    def answer(self, batch: Batch, task: Task) -> None:
        held = self.held.setdefault(batch, [])
        second = any(self.actions.agree(task, other) for other in held)
        held.append(task)
        if second or not batch.tasks:
            self._give(batch, task if second else held[0])

    def timer(self, batch: Batch, now_s: float) -> None:
        self._give(batch, self.held[batch][0])

    def given_up(self, batch: Batch, task: Task) -> None:
        if batch in self.held:
            self._give(batch, self.held[batch][0])
        else:
            super().given_up(batch, task)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        self.held.pop(batch, None)

    def _give(self, batch: Batch, task: Task) -> None:
        del self.held[batch]
        super().answer(batch, task)
