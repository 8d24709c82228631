"""Coding groups: which batches are encoded together, what is under way for them, and what has come."""

from typing import Self

from parity_exp.policies.policy import Policy
from parity_exp.policies.work import PLACED, QUEUED, TRIES, Batch, Group, Work


class Grouping:
    """Groups of k consecutive batches.

    Args:
        k: batches in a group.
        rows: parity queries of a group; of a non-systematic code its n coded queries.

    Attributes:
        filling: the group that is not full yet, or None.
    """

    def __init__(self, k: int, rows: int) -> None:
        self.k = k
        self.rows = rows
        self.filling: Group | None = None
        self.made = 0
        self.first, self.step = 0, 1

    def start(self, policy: Policy) -> None:
        """Begin a run of a policy."""
        self._policy = policy
        self.filling = None
        self.made = 0
        # Groups of several frontends have different numbers.
        self.first, self.step = policy.actions.frontend, policy.actions.frontends

    def go_on_from(self, before: Self, policy: Policy) -> None:
        """Take over the groups of another one, for a policy."""
        self._policy = policy
        self.filling = before.filling
        self.made = before.made

    def join(self, batch: Batch) -> Group:
        """Put a batch into the group that is filling; the group. With its k-th batch no group is filling any more."""
        group = self.filling
        if group is None:
            group = self.filling = Group(self.first + self.made * self.step, self.rows)
            self.made += 1
        batch.group = group
        members = group.members
        members.append(batch)
        group.own.append(None)
        if len(members) == self.k:
            self.filling = None
        return group

    def send(self, group: Group, work: Work) -> None:
        """Send the parity query of a row."""
        group.pending[work.row] = work
        self._policy.actions.dispatch(work)

    def keep(self, work: Work) -> Group | None:
        """Keep the output of a row; its group, or None where that is over."""
        group = work.group
        assert group is not None
        if group.over:
            return None
        group.pending[work.row] = None
        group.parities[work.row] = work
        return group

    def try_again(self, work: Work) -> Group | None:
        """Send the parity query of a row that has failed again; its group, where that makes no sense any more."""
        group = work.group
        assert group is not None
        if group.over:
            return None
        group.pending[work.row] = None
        if work.tries + 1 < TRIES:
            self.send(group, work.again())
            return None
        return group

    def drop_queued(self, group: Group) -> None:
        """Take a group's parity queries out of the queues."""
        for row, work in enumerate(group.pending):
            if work is not None and work.state is QUEUED:
                self._policy.actions.cancel(work)
                group.pending[row] = None

    def end(self, group: Group) -> None:
        """Take what is queued of a group out of the queues, and let go of it."""
        if group is self.filling:
            self.filling = None
        group.over = True
        for work in group.pending:  # nobody needs it any more
            if work is not None:
                if work.state is QUEUED:
                    self._policy.actions.cancel(work)
                elif work.state is PLACED:
                    self._policy.actions.stop(work)
        # Cut the circles of references, so that memory is free at once.
        for batch in group.members:
            batch.group = None
        group.members, group.own = [], []
        group.parities, group.pending = [None] * self.rows, [None] * self.rows
