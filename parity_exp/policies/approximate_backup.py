"""Approximate backups: the extra machines hold a small, quick model that stands in when the base model is late."""

from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE, Lateness
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BACKUP, BASE, Actions, AnswerSource, Batch, Policy, Role, Work
from parity_exp.ranges import Delay, Margin, Percentile


class ApproximateBackup(Policy):
    """Every query also goes to the small model, whose answer is given when the own prediction is late.

    Parity Models compares itself with this in its evaluation: since every query is replicated, the m r / k extra
    instances have to be k / r times as quick as the base instances.

    Args:
        delay_ms: the small model's answer is given this long after the query's arrival, if nothing else was;
            0 gives whatever comes first; None takes a running percentile of how long own predictions take.
        percentile: of the times from arrival to own prediction.
        margin: factor on the percentile.
    """

    looks = (
        Look(
            "approximate_backup",
            "#d55e00",
            idea="Every query also goes to a small, fast model.",
            machines="m r / k",
            answer="the small model's",
            weakness="a second model to train, and its answers wherever the first is late",
            source="Parity Models, section 6",
        ),
    )

    def __init__(
        self,
        k: int,
        r: int,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
    ) -> None:
        super().__init__(k, r)
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.said: dict[Batch, Work] = {}  # what the small model has said of queries without an answer

    def roles(self, base_instances: int) -> list[Role]:
        extra = self.extra_instances(base_instances)
        return [Role("base", base_instances, (BASE,)), Role("backup", extra, (BACKUP,))]

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.lateness.forget()
        self.said = {}

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Work(BASE, "base", batch))
        self.dispatch(Work(BACKUP, "backup", batch))

    def finished(self, work: Work, now_s: float) -> None:
        batch = work.batch
        assert batch is not None
        if work.model == BASE:
            self.lateness.took(now_s - batch.arrived_s)
            super().finished(work, now_s)
            self.said.pop(batch, None)
            return
        batch.under_way.remove(work)
        if batch.answered:
            return
        self.said[batch] = work
        delay_s = self.lateness.delay_s
        if not batch.under_way:
            self._stand_in(batch)  # the base model has been tried in vain
        elif delay_s is not None:
            late_s = batch.arrived_s + delay_s
            if late_s <= now_s:
                self._stand_in(batch)
            else:
                self.actions.set_timer(late_s, batch)

    def timer(self, batch: Batch, now_s: float) -> None:
        self._stand_in(batch)

    def given_up(self, batch: Batch, work: Work) -> None:
        if batch in self.said:
            self._stand_in(batch)
        else:
            super().given_up(batch, work)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        self.said.pop(batch, None)

    def _stand_in(self, batch: Batch) -> None:
        """Answer with what the small model said, if it has said something."""
        work = self.said.pop(batch, None)
        if work is not None:
            self.actions.respond(batch, AnswerSource.BACKUP, work)
            if batch.answered:
                self.cancel_queued(batch)
            elif not batch.under_way:  # a query that takes no stand-in, and the base model has been tried in vain
                self.actions.respond(batch, AnswerSource.ERROR, work)
