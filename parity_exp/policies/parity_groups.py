"""Coding groups with parity queries: what is late is reconstructed as soon as that is possible.

Parity Models, SOSP 2019, sections 3 and 4.
"""

from parity_exp.policies.answer_source import AnswerSource
from parity_exp.policies.grouping import Grouping
from parity_exp.policies.role import parity_model
from parity_exp.policies.work import Batch, Group, Work


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
    """

    def __init__(
        self,
        k: int,
        r: int,
        role: str,
        idle_only: bool = False,
        keeps_parities: bool = False,
        compares: bool = False,
    ) -> None:
        super().__init__(k, r)
        self.role = role
        self.idle_only = idle_only
        self.keeps_parities = keeps_parities or compares
        self.compares = compares

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the r parity models."""
        return tuple(map(parity_model, range(self.rows)))

    # ---- what happens to a group

    def encode(self, group: Group) -> None:
        """Send the parity queries of a full group."""
        group.elements = min(map(len, group.members))
        for row in range(self.rows):
            self.send(group, Work(parity_model(row), self.role, group=group, row=row, low=self.idle_only))

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
        """Send a parity query again; the group that has lost something for good."""
        batch = work.batch
        if batch is None:
            return self.try_again(work)
        return None if batch.under_way else batch.group

    # ---- what becomes of it

    def settle(self, group: Group, work: Work | None) -> None:
        """See what a group has come to: reconstruct what can be, give up what can't, and end it when all is said.

        Args:
            group: something has happened to it.
            work: that has finished or failed; None: a deadline or a timer.
        """
        if group.over or len(group.members) < self.k:
            return
        waiting = [batch for batch in group.members if not batch.answered]
        if waiting:
            if self.can_decode(group):
                self.reconstruct(group, waiting, work)
            elif any(batch.hopeless for batch in waiting) and not self._will_decode(group):
                self._give_up(waiting, work)
            waiting = [batch for batch in waiting if not batch.answered]
        if not waiting:
            if not self.compares or self._compare(group):
                self.end(group)
        elif self.idle_only and not self.keeps_parities and len(waiting) == 1 and not waiting[0].hopeless:
            self.drop_queued(group)

    def reconstruct(self, group: Group, waiting: list[Batch], work: Work | None) -> None:
        """Answer batches of a group that can be decoded."""
        for batch in waiting:
            self._policy.actions.respond(batch, AnswerSource.RECONSTRUCTED, work)
            if batch.answered:
                self._policy.cancel_queued(batch)
        # What is left are last elements of batches longer than the shortest of the group: parity does not cover them.
        if not self.keeps_parities:
            self.drop_queued(group)
        self._give_up(waiting, work)

    def can_decode(self, group: Group) -> bool:
        """Whether a group has its k batches, and as many outputs as it lacks predictions."""
        outputs = self.rows - group.parities.count(None)
        return len(group.members) == self.k and group.own.count(None) <= outputs

    def is_whole(self, group: Group) -> bool:
        """Whether all outputs are there."""
        return None not in group.own and None not in group.parities

    def can_be_whole(self, group: Group) -> bool:
        """Whether all outputs are there or under way."""
        own = all(own or batch.under_way for own, batch in zip(group.own, group.members, strict=True))
        return own and all(done or work for done, work in zip(group.parities, group.pending, strict=True))

    def _will_decode(self, group: Group) -> bool:
        """Whether a full group can be decoded if all that is under way comes."""
        lost = sum(own is None and not batch.under_way for own, batch in zip(group.own, group.members, strict=True))
        return lost <= 2 * self.rows - group.parities.count(None) - group.pending.count(None)

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
