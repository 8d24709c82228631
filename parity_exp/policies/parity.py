"""Parity (ParM): parity models on instances of their own, and whichever comes first answers.

Parity Models, SOSP 2019, sections 3 and 4. A group is k consecutive batches; its r parity queries are dispatched when
the k-th batch arrives. As soon as predictions and parity outputs together suffice, what is missing is reconstructed,
and work that has become useless is taken out of the queues.
"""

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, TRIES, Batch, Group, Policy, Role, Source, State, Task, parity_model


class Parity(Policy):
    """m base instances and ``ceil(m r / k)`` parity instances; each of these holds all r parity models."""

    looks = (
        Look(
            "parity",
            "#0072b2",
            idea="k queries make one parity query, for a network trained to output the sum of their predictions.",
            machines="m r / k",
            answer="approximate, where a task is late",
            weakness="base instances have none of the extra machines: it collapses when they are full",
            source="ParM: Parity Models, SOSP 2019",
        ),
    )

    uses_groups = True
    base_role = "base"
    parity_role = "parity"
    parity_is_low = False

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.filling: Group | None = None
        self.groups = 0

    def roles(self, base_instances: int) -> list[Role]:
        extra = self.extra_instances(base_instances)
        return [Role("base", base_instances, (BASE,)), Role("parity", extra, self.parity_models)]

    @property
    def parity_models(self) -> tuple[str, ...]:
        """Names of the r parity models."""
        return tuple(parity_model(row) for row in range(self.r))

    # ---- events

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Task(BASE, self.base_role, batch))
        group = self.filling
        if group is None:
            group = self.filling = Group(self.groups, self.r)
            self.groups += 1
        batch.group = group
        group.members.append(batch)
        group.own.append(None)
        if len(group.members) == self.k:
            self.filling = None
            self._encode(group)

    def finished(self, task: Task, now_s: float) -> None:
        batch = task.batch
        if batch is not None:
            super().finished(task, now_s)
            group = batch.group
            if group is None:
                return
            place = group.members.index(batch)
            group.own[place] = group.own[place] or task  # what the client got, where there is a second copy
        else:
            group = task.group
            assert group is not None
            if group.over:
                return
            group.pending[task.row] = None
            group.parities[task.row] = task
        self._advance(group, task)

    def failed(self, task: Task, now_s: float) -> None:
        batch, group = task.batch, task.group
        if batch is not None:
            super().failed(task, now_s)
            if batch.group is not None and not batch.tasks:
                self._advance(batch.group, task)
            return
        assert group is not None
        if group.over:
            return
        group.pending[task.row] = None
        if task.tries + 1 < TRIES:
            group.pending[task.row] = again = task.again()
            self.actions.dispatch(again)
        else:
            self._advance(group, task)

    def given_up(self, batch: Batch, task: Task) -> None:
        pass  # the code may still have an answer: `failed` goes on to see

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        if batch.group is not None:
            self._advance(batch.group, None)

    # ---- groups

    def _encode(self, group: Group) -> None:
        group.elements = min(map(len, group.members))
        for row in range(self.r):
            task = Task(parity_model(row), self.parity_role, group=group, row=row, low=self.parity_is_low)
            group.pending[row] = task
            self.actions.dispatch(task)

    def _advance(self, group: Group, task: Task | None) -> None:
        """See what a group has come to: reconstruct what can be, give up what can't, and end it when all is said."""
        if group.over or len(group.members) < self.k:
            return
        waiting = [batch for batch in group.members if not batch.answered]
        if waiting:
            outputs = self.r - group.parities.count(None)
            if group.own.count(None) <= outputs:
                self._reconstruct(group, waiting, task)
            elif any(batch.hopeless for batch in waiting) and self._lost(group) > outputs + self._coming(group):
                self._give_up(waiting, task)
        if all(batch.answered for batch in group.members):
            self._end(group)

    def _lost(self, group: Group) -> int:
        """Members whose own prediction won't come."""
        return sum(own is None and not batch.tasks for own, batch in zip(group.own, group.members, strict=True))

    def _coming(self, group: Group) -> int:
        """Parity queries under way."""
        return self.r - group.pending.count(None)

    def _reconstruct(self, group: Group, waiting: list[Batch], task: Task | None) -> None:
        for batch in waiting:
            self.actions.respond(batch, Source.RECONSTRUCTED, task)
            if batch.answered:
                self.cancel_tasks(batch)
        # What is left are last elements of batches longer than the shortest of the group: parity does not cover them.
        self._drop_queued(group)
        self._give_up(waiting, task)

    def _give_up(self, waiting: list[Batch], task: Task | None) -> None:
        for batch in waiting:
            if batch.hopeless:
                self.actions.respond(batch, Source.ERROR, task)

    def _end(self, group: Group) -> None:
        group.over = True
        self._drop_queued(group)
        # Cut the circles of references, so that memory is free at once.
        for batch in group.members:
            batch.group = None
        group.members, group.own, group.parities, group.pending = [], [], [None] * self.r, [None] * self.r

    def _drop_queued(self, group: Group) -> None:
        """Take a group's parity queries out of the queues."""
        for row, task in enumerate(group.pending):
            if task is not None and task.state is State.QUEUED:
                self.actions.cancel(task)
                group.pending[row] = None
