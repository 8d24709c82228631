"""Approximate backups: the extra machines hold a small, quick model that stands in when the base model is late."""

from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE, Lateness
from parity_exp.policies.grouping import Grouping
from parity_exp.policies.look import Look
from parity_exp.policies.policy import (
    BACKUP,
    BASE,
    MULTIPLEXED,
    Actions,
    AnswerSource,
    Batch,
    Group,
    Policy,
    Role,
    Work,
)
from parity_exp.ranges import Delay, Margin, Percentile


class ApproximateBackup(Policy):
    """Every query also goes to the small model, whose answer is given when the own prediction is late.

    Parity Models compares itself with this in its evaluation: since every query is replicated, the m r / k extra
    instances have to be k / r times as quick as the base instances.

    A multiplexed backup is one that runs k queries in one task of about the base model's cost, 1/k for each of them
    (:class:`parity_exp.models.Multiplexed`). Its task is sent when k consecutive batches are there. What is in it
    needs no other prediction to be read: it is no code. A query does not wait longer than ``fill_ms`` for the others;
    then the task goes with those that are there, and the last of them stands in for what is lacking. A group whose
    queries have all been answered before is not sent at all.

    Args:
        delay_ms: the small model's answer is given this long after the query's arrival, if nothing else was;
            0 gives whatever comes first; None takes a running percentile of how long own predictions take.
        percentile: of the times from arrival to own prediction.
        margin: factor on the percentile.
        multiplexed: whether the small model runs k queries in one task.
        fill_ms: of a multiplexed backup: how long a query waits for others to share the task with.

    Raises:
        ValueError: a value outside its range.
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
        Look(
            "multiplexed_backup",
            "#8c510a",
            idea="k queries, made small and laid side by side, go to a second model together, which answers each of "
            "them: no code, for nothing of it depends on other predictions.",
            machines="m r / k",
            answer="the second model's, which saw 1/k of the pixels",
            weakness="a second model to train; its task has to fill first",
            source="the honest rival of parity models that keep places apart",
        ),
    )

    def __init__(
        self,
        k: int,
        r: int,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        multiplexed: bool = False,
        fill_ms: Delay = 20,
    ) -> None:
        super().__init__(k, r)
        if fill_ms < 0:
            raise ValueError(f"fill_ms={fill_ms}: expected a time of 0 or more")
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.fill_s = fill_ms / 1e3
        self.uses_groups = self.multiplexes = multiplexed
        self.groups = Grouping(k, 1)
        # What the small model has said of queries without an answer, and from when on it stands in.
        self.said: dict[Batch, tuple[Work, float]] = {}

    def roles(self, base_instances: int) -> list[Role]:
        extra = self.extra_instances(base_instances)
        model = MULTIPLEXED if self.multiplexes else BACKUP
        return [Role("base", base_instances, (BASE,)), Role("backup", extra, (model,))]

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.lateness.forget()
        self.groups.start(self)
        self.said = {}

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Work(BASE, "base", batch))
        if not self.multiplexes:
            self.dispatch(Work(BACKUP, "backup", batch))
            return
        group = self.groups.join(batch)
        if self.groups.filling is None:
            self._send(group)
        else:
            self.actions.set_timer(now_s + self.fill_s, batch)

    def finished(self, work: Work, now_s: float) -> None:
        if work.model == BASE:
            batch = work.batch
            assert batch is not None
            self.lateness.took(now_s - batch.arrived_s)
            super().finished(work, now_s)
            self._over(batch)
        elif work.batch is not None:
            work.batch.under_way.remove(work)
            self._hear(work.batch, work, now_s)
        else:
            group = self.groups.keep(work)
            if group is not None:
                for batch in list(group.members):
                    self._hear(batch, work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            super().failed(work, now_s)
            return
        group = self.groups.try_again(work)
        if group is not None:  # nothing will come of it any more
            for batch in list(group.members):
                if batch.hopeless:
                    self.actions.respond(batch, AnswerSource.ERROR, work)
            self.groups.end(group)

    def timer(self, batch: Batch, now_s: float) -> None:
        group = batch.group
        if group is not None and group is self.groups.filling and batch.arrived_s + self.fill_s <= now_s:
            self.groups.filling = None
            self._send(group)
        if batch in self.said and self.said[batch][1] <= now_s:
            self._stand_in(batch)

    def given_up(self, batch: Batch, work: Work) -> None:
        if batch in self.said:
            self._stand_in(batch)
        elif not self._may_say_something(batch):
            super().given_up(batch, work)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        self._over(batch)

    # ---- what the small model says

    def _hear(self, batch: Batch, work: Work, now_s: float) -> None:
        """The small model has said something of a batch."""
        if batch.answered:
            return
        delay_s = self.lateness.delay_s
        late_s = float("inf") if delay_s is None else batch.arrived_s + delay_s
        self.said[batch] = work, late_s
        if not batch.under_way or late_s <= now_s:
            self._stand_in(batch)  # late, or the base model has been tried in vain
        elif delay_s is not None:
            self.actions.set_timer(late_s, batch)

    def _may_say_something(self, batch: Batch) -> bool:
        """Whether the task of a batch's group is still to come."""
        group = batch.group
        return group is not None and (group is self.groups.filling or group.pending[0] is not None)

    def _stand_in(self, batch: Batch) -> None:
        """Answer with what the small model said."""
        work, _ = self.said.pop(batch)
        self.actions.respond(batch, AnswerSource.BACKUP, work)
        if batch.answered:
            self.cancel_queued(batch)
        elif not batch.under_way:  # a query that takes no stand-in, and the base model has been tried in vain
            self.actions.respond(batch, AnswerSource.ERROR, work)
        self._over(batch)

    # ---- groups

    def _send(self, group: Group) -> None:
        """Send the task of a group."""
        group.elements = max(map(len, group.members))
        self.groups.send(group, Work(MULTIPLEXED, "backup", group=group))

    def _over(self, batch: Batch) -> None:
        """Forget a batch that has its answer, and its group where all of it have theirs."""
        if not batch.answered:
            return
        self.said.pop(batch, None)
        group = batch.group
        if group is not None and all(member.answered for member in group.members):
            self.groups.end(group)
