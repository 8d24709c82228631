"""Coding groups with parity queries: what is late is reconstructed as soon as that is possible.

Parity Models, SOSP 2019, sections 3 and 4. When that is says the code (:class:`~parity_exp.policies.needs.Needs`): a
sum has to wait for the other predictions, and where places are kept apart one parity output is enough for all.
"""

from math import inf
from typing import Self

from parity_exp.policies.answer_source import AnswerSource
from parity_exp.policies.estimates.lateness import Lateness
from parity_exp.policies.grouping import Grouping
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import Policy
from parity_exp.policies.role import parity_model
from parity_exp.policies.work import Batch, Group, Work

RECONSTRUCTED = AnswerSource.RECONSTRUCTED

WAIT_EXACT_MS = 0
"""Unless a policy is told otherwise: how long a reconstruction is held back for the exact answer."""


class ParityGroups(Grouping):
    """The groups of a policy with parity models.

    Args:
        k: batches in a group.
        r: parity queries of a group.
        role: of the instances that hold the parity models.
        idle_only: parity queries are work for idle instances, and are dropped once they could help one query only.
        keeps_parities: parity queries are not dropped before their group is over, though all have their answers.
        compares: a group whose queries have their answers is not over before its outputs have been compared, unless one
            of them is lost for good.
        lateness: knows when a batch is late; only those are reconstructed that are, or whose work has failed. None, and
            as long as it does not know: whatever has no answer yet, so that clients get the first there is.
        wait_exact_ms: a reconstruction that could be given is held back this long for the exact answer, where one is
            under way.

    Attributes:
        models: names of the r parity models.
        sets_timers: whether batches may have timers that are no concern of the policy's own.

    Raises:
        ValueError: a negative time.
    """

    needs: Needs

    def __init__(
        self,
        k: int,
        r: int,
        role: str,
        idle_only: bool = False,
        keeps_parities: bool = False,
        compares: bool = False,
        lateness: Lateness | None = None,
        wait_exact_ms: float = WAIT_EXACT_MS,
    ) -> None:
        super().__init__(k, r)
        if wait_exact_ms < 0:
            raise ValueError(f"wait_exact_ms={wait_exact_ms}: expected a time of 0 or more")
        self.role = role
        self.lateness = lateness
        self.idle_only = idle_only
        self.keeps_parities = keeps_parities or compares
        self.compares = compares
        self.wait_exact_s = wait_exact_ms / 1e3
        self.sets_timers = lateness is not None or self.wait_exact_s > 0
        self.models = tuple(map(parity_model, range(self.rows)))
        self._due_s: dict[Batch, float] = {}  # until when a batch's reconstruction is held back

    def start(self, policy: Policy) -> None:
        super().start(policy)
        self.needs = policy.needs
        self._due_s = {}

    def go_on_from(self, before: Self, policy: Policy) -> None:
        super().go_on_from(before, policy)
        self.needs = before.needs
        self._due_s = before._due_s

    # ---- what happens to a group

    def encode(self, group: Group) -> None:
        """Send the parity queries of a full group."""
        group.elements = len(group.members[0].queries)
        for batch in group.members:
            if len(batch.queries) < group.elements:
                group.elements = len(batch.queries)
        for row, model in enumerate(self.models):
            self.send(group, Work(model, self.role, None, group, row, self.idle_only))

    def finished(self, work: Work) -> Group | None:
        """Keep what has come; the group that it is of any use for."""
        batch = work.batch
        if batch is None:
            return self.keep(work)
        group = batch.group
        if group is not None:
            place = group.members.index(batch)
            group.own[place] = group.own[place] or work  # what the client got, where there is a second copy
        return group

    def failed(self, work: Work) -> Group | None:
        """Send a parity query again; the group that has lost something for good, or need not wait for another try."""
        batch = work.batch
        if batch is None:
            return self.try_again(work)
        return None if batch.under_way and not self.sets_timers else batch.group

    # ---- what becomes of it

    def settle(self, group: Group, work: Work | None, now_s: float = inf) -> None:
        """See what a group has come to: reconstruct what can be, give up what can't, and end it when all is said.

        Args:
            group: something has happened to it.
            work: that has finished or failed; None: a deadline or a timer.
            now_s: the time, which says what is late.
        """
        if group.over or len(group.members) < self.k:
            return
        left, hopeless = 0, False
        for batch in group.members:
            if not batch.answered:
                left += 1
                hopeless = hopeless or batch.hopeless
        # As `can_decode` has it, without a call.
        if left and self.k - group.own.count(None) >= self.needs.members[self.rows - group.parities.count(None)]:
            waiting = self._decode(group, work, now_s)
            left, hopeless = len(waiting), any(batch.hopeless for batch in waiting) if waiting else False
        elif hopeless and not self._will_decode(group):
            self._give_up([batch for batch in group.members if not batch.answered], work)
            waiting = [batch for batch in group.members if not batch.answered]
            left, hopeless = len(waiting), any(batch.hopeless for batch in waiting)
        if not left:
            if not self.compares or self._compare(group):
                self.end(group)
        elif left == 1 and self.idle_only and not self.keeps_parities and not hopeless:
            self.drop_queued(group)

    def end(self, group: Group) -> None:
        if self._due_s:
            for batch in group.members:
                self._due_s.pop(batch, None)
        Grouping.end(self, group)  # quicker than super()

    def ripe(self, group: Group, waiting: list[Batch], now_s: float) -> list[Batch]:
        """Those of some that could be reconstructed which need not be held back; for the others there are timers."""
        if not self.wait_exact_s:
            return waiting
        for batch in waiting:
            if batch not in self._due_s:
                self._due_s[batch] = now_s + self.wait_exact_s
                self._policy.actions.set_timer(self._due_s[batch], batch)
        if not self.keeps_parities:
            self.drop_queued(group)  # it has as many outputs as it needs
        return [batch for batch in waiting if now_s >= self._due_s[batch] or not batch.under_way]

    def reconstruct(self, group: Group, waiting: list[Batch], work: Work | None) -> None:
        """Answer batches of a group that can be decoded."""
        for batch in waiting:
            self._policy.actions.respond(batch, RECONSTRUCTED, work)
            if batch.answered and batch.under_way:
                self._policy.cancel_queued(batch)
                if not self.keeps_parities:
                    self._policy.stop_running(batch)
        # What is left are last elements of batches longer than the shortest of the group: parity does not cover them.
        if not self.keeps_parities:
            self.drop_queued(group)
        self._give_up(waiting, work)

    def can_decode(self, group: Group) -> bool:
        """Whether a group has its k batches, and of its outputs what the code needs to give all predictions."""
        if len(group.members) < self.k:
            return False
        return self.k - group.own.count(None) >= self.needs.members[self.rows - group.parities.count(None)]

    def is_whole(self, group: Group) -> bool:
        """Whether all outputs are there."""
        return None not in group.own and None not in group.parities

    def can_be_whole(self, group: Group) -> bool:
        """Whether all outputs are there or under way."""
        own = all(own or batch.under_way for own, batch in zip(group.own, group.members, strict=True))
        return own and all(done or work for done, work in zip(group.parities, group.pending, strict=True))

    def _will_decode(self, group: Group) -> bool:
        """Whether a full group can be decoded if all that is under way comes."""
        own = sum(own is not None or bool(batch.under_way) for own, batch in zip(group.own, group.members, strict=True))
        parities = sum(one is not None for row in zip(group.parities, group.pending, strict=True) for one in row)
        return self.needs.suffice(own, parities)

    def _decode(self, group: Group, work: Work | None, now_s: float) -> list[Batch]:
        """Reconstruct of a group that can be decoded what is late and need not be held back; what waits after that."""
        waiting = [batch for batch in group.members if not batch.answered]
        late = waiting
        if self.lateness is not None:
            late = [batch for batch in waiting if now_s >= self._late_s(batch)]
        ripe = self.ripe(group, late, now_s)
        if ripe:
            self.reconstruct(group, ripe, self._completed_by(group, work))
        if len(late) < len(waiting):
            self._come_back(waiting, now_s)
        return [batch for batch in waiting if not batch.answered]

    def _late_s(self, batch: Batch) -> float:
        """When a batch that has no answer is reconstructed, if its group can be decoded by then."""
        delay_s = None if self.lateness is None else self.lateness.delay_s
        if delay_s is None or all(work.tries for work in batch.under_way):
            return -inf  # at once: whichever comes first answers, and a lost prediction begins from the start
        return batch.arrived_s + delay_s

    def _come_back(self, waiting: list[Batch], now_s: float) -> None:
        """Have the policy's timer called when the next batch of a group that can be decoded is late."""
        late_s, batch = min(
            ((self._late_s(batch), batch) for batch in waiting if self._late_s(batch) > now_s), key=lambda due: due[0]
        )
        self._policy.actions.set_timer(late_s, batch)

    def _completed_by(self, group: Group, work: Work | None) -> Work | None:
        """What has completed what is needed to decode a group, which may have been so for a while."""
        if not self.sets_timers:
            return work
        outputs = [output for output in group.parities if output is not None]
        just_now = work is not None and (work.batch is None or self.needs.members[len(outputs)] > 0)
        return work if just_now or not outputs else outputs[-1]

    def _give_up(self, waiting: list[Batch], work: Work | None) -> None:
        for batch in waiting:
            if batch.hopeless:
                self._policy.actions.respond(batch, AnswerSource.ERROR, work)

    def _compare(self, group: Group) -> bool:
        """Compare a group if all outputs are there; False where they may still come."""
        if not self.is_whole(group):
            return not self.can_be_whole(group)
        self._policy.actions.suspects(group)
        return True
