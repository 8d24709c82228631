"""Coded: queries wait until k are there, n coded ones go to copies of the base model, and n - S answers tell all.

For non-systematic codes, such as ApproxIFER (AAAI 2022, arXiv 2109.09868) and NeRCC (arXiv 2402.04377). A group costs
n tasks instead of k, whatever happens.
"""

from collections.abc import Sequence

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, TRIES, Batch, Group, Policy, Role, Source, State, Task
from parity_exp.ranges import Delay


class Coded(Policy):
    """Copies of the base model, and no query on its own but for those of groups that do not fill.

    A group is k consecutive batches, encoded element by element; in batches of different sizes the last query of a
    shorter one stands in for what it lacks, so that every query is covered. With the n - S-th answer all k predictions
    are decoded, and coded queries that are still queued are cancelled.

    A group that has not filled in time is given up, and its queries are sent as they are: fewer tasks than n, and the
    base model's own answers, but nothing that helps against a straggler among them. The same is done with a group that
    has lost too many answers for good, so that a query which no instance can answer takes no other with it.

    Args:
        k: batches in a group.
        r: what the extra machines of other policies are counted by.
        order: the n coded queries of a group in the order in which they are sent: of equally quick instances' answers,
            nobody waits for those of the last.
        needed: n - S, answers that decode a group.
        fill_ms: a group that has not filled this long after its first batch is given up.
        equal_resources: true for ``m + ceil(m r / k)`` instances, as other policies have; where n - k is more than r,
            each of them has more to do than a base instance would. False for ``ceil(m n / k)``, on which it has the
            same.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look("coded", "#56b4e9"),
        Look(
            "berrut",
            "#332288",
            idea="Copies of the base model see n mixtures of k queries; any n - S answers give all predictions "
            "by rational interpolation. No training.",
            machines="m (n - k) / k",
            answer="every answer is approximate",
            weakness="the group has to fill first, and nothing is exact",
            source="ApproxIFER, AAAI 2022",
        ),
        Look(
            "nercc",
            "#b8a000",
            idea="The same with smoothing splines, whose stiffness is chosen on validation data.",
            machines="m (n - k) / k",
            answer="every answer is approximate",
            weakness="as for berrut",
            source="NeRCC, arXiv 2402.04377; LeTCC, NeurIPS 2024",
        ),
    )

    uses_groups = True
    replaces_queries = True

    def __init__(
        self, k: int, r: int, order: Sequence[int], needed: int, fill_ms: Delay = 50, equal_resources: bool = True
    ) -> None:
        super().__init__(k, r)
        if fill_ms < 0:
            raise ValueError(f"fill_ms={fill_ms}: expected a time of 0 or more")
        self.order = tuple(order)
        self.workers = len(self.order)
        self.needed = needed
        self.fill_s = fill_ms / 1e3
        self.equal_resources = equal_resources
        self.filling: Group | None = None
        self.groups = 0

    def roles(self, base_instances: int) -> list[Role]:
        if self.equal_resources:
            return [Role("base", base_instances + self.extra_instances(base_instances), (BASE,))]
        return [Role("base", -(-base_instances * self.workers // self.k), (BASE,))]

    # ---- events

    def arrived(self, batch: Batch, now_s: float) -> None:
        group = self.filling
        if group is None:
            group = self.filling = Group(self.groups, self.workers)
            self.groups += 1
            self.actions.set_timer(now_s + self.fill_s, batch)
        batch.group = group
        group.members.append(batch)
        group.own.append(None)
        if len(group.members) == self.k:
            self.filling = None
            self._encode(group)

    def timer(self, batch: Batch, now_s: float) -> None:
        # Timers are those of groups' first batches, and a full group is no longer filling.
        if batch.group is not None and batch.group is self.filling:
            self._send_plain(batch.group)

    def finished(self, task: Task, now_s: float) -> None:
        group = task.group
        if group is None:
            super().finished(task, now_s)
            return
        if group.over:
            return
        group.pending[task.row] = None
        group.parities[task.row] = task
        if self.workers - group.parities.count(None) >= self.needed:
            for batch in group.members:
                self.actions.respond(batch, Source.RECONSTRUCTED, task)
            self._end(group)

    def failed(self, task: Task, now_s: float) -> None:
        group = task.group
        if group is None:
            super().failed(task, now_s)
            return
        if group.over:
            return
        group.pending[task.row] = None
        if task.tries + 1 < TRIES:
            group.pending[task.row] = again = task.again()
            self.actions.dispatch(again)
        elif sum(one is not None for one in (*group.parities, *group.pending)) < self.needed:
            self._send_plain(group)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        group = batch.group
        if group is not None and all(member.answered for member in group.members):
            self._end(group)

    # ---- groups

    def _encode(self, group: Group) -> None:
        group.elements = max(map(len, group.members))
        for row in self.order:
            task = Task(BASE, "base", group=group, row=row)
            group.pending[row] = task
            self.actions.dispatch(task)

    def _send_plain(self, group: Group) -> None:
        """Give up a group, and send each of its queries that has no answer as it is."""
        waiting = [batch for batch in group.members if not batch.answered]
        self._end(group)
        for batch in waiting:
            self.dispatch(Task(BASE, "base", batch))

    def _end(self, group: Group) -> None:
        """Take what is queued of a group out of the queues, and let go of it."""
        if group is self.filling:
            self.filling = None
        group.over = True
        for task in group.pending:
            if task is not None and task.state is State.QUEUED:
                self.actions.cancel(task)
        # Cut the circles of references, so that memory is free at once.
        for batch in group.members:
            batch.group = None
        group.members, group.own = [], []
        group.parities, group.pending = [None] * self.workers, [None] * self.workers
