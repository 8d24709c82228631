"""Voted replication: an answer goes out when a second copy says the same."""

from typing import Annotated

from annotated_types import Ge, Le

from parity_exp.policies.look import Look
from parity_exp.policies.policy import Actions, Batch, Work
from parity_exp.policies.replication import Replication
from parity_exp.policies.voting import WAIT_MS, wait_s
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

    def __init__(self, k: int, r: int, factor: Annotated[int, Ge(2), Le(100)] = 3, wait_ms: Delay = WAIT_MS) -> None:
        super().__init__(k, r, factor)
        self.wait_s = wait_s(wait_ms)
        self.held: dict[Batch, list[Work]] = {}

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.held = {}

    def finished(self, work: Work, now_s: float) -> None:
        super().finished(work, now_s)
        batch = work.batch
        if batch in self.held:
            self.actions.set_timer(now_s + self.wait_s, batch)

    def answer(self, batch: Batch, work: Work) -> None:
        held = self.held.setdefault(batch, [])
        second = any(self.actions.agree(work, other) for other in held)
        held.append(work)
        if second or not batch.under_way:
            self._give(batch, work if second else held[0])

    def timer(self, batch: Batch, now_s: float) -> None:
        self._give(batch, self.held[batch][0])

    def given_up(self, batch: Batch, work: Work) -> None:
        if batch in self.held:
            self._give(batch, self.held[batch][0])
        else:
            super().given_up(batch, work)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        self.held.pop(batch, None)

    def _give(self, batch: Batch, work: Work) -> None:
        del self.held[batch]
        super().answer(batch, work)
