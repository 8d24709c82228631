"""Shared parity: every instance holds base and parity models, and parity queries run on idle time only."""

from parity_exp.serving.policies.busyness import Busyness
from parity_exp.serving.policies.lateness import Lateness
from parity_exp.serving.policies.parity import Parity
from parity_exp.serving.policy import BASE, TRIES, Batch, Group, Role, State, Task


class SharedParity(Parity):
    """ParM without the split into base and parity instances, plus hedging.

    All ``m + ceil(m r / k)`` instances serve queries, so at high load the base model has all of them. Parity queries
    are work for idle instances, and a little less than that, since an instance that has begun one is not free for the
    next query: they leave ``reserve`` instances free, they are dropped once they could help one query only, which
    hedging does exactly, and above ``load_limit`` they are not sent at all. A query that is late is sent again, as by
    :class:`Hedged`, ahead of queries that have just arrived.

    Args:
        load_limit: no parity while queries alone keep more than this share of the instances busy.
        reserve: instances that parity queries leave free.
        delay_ms: hedge after this time; None takes a running percentile.
        percentile: of the durations of recent tasks.
        margin: factor on the percentile.

    Raises:
        ValueError: a value outside its range.
    """

    base_role = "shared"
    parity_role = "shared"
    parity_is_low = True

    def __init__(
        self,
        k: int,
        r: int,
        load_limit: float = 0.6,
        reserve: int = 1,
        delay_ms: float | None = None,
        percentile: float = 95,
        margin: float = 1.2,
    ) -> None:
        super().__init__(k, r)
        if load_limit < 0:
            raise ValueError(f"load_limit={load_limit}: expected a share of the instances, 0 or more")
        if reserve < 0:
            raise ValueError(f"reserve={reserve}: expected a number of instances, 0 or more")
        self.load_limit = load_limit
        self.reserve = reserve
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.busyness = Busyness(1)

    def roles(self, base_instances: int) -> list[Role]:
        instances = base_instances + self.extra_instances(base_instances)
        self.busyness = Busyness(instances)
        return [Role("shared", instances, (BASE, *self.parity_models), min(self.reserve, instances - 1))]

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.busyness.arrived(now_s)
        super().arrived(batch, now_s)

    def placed(self, task: Task, now_s: float) -> None:
        delay_s = self.lateness.delay_s
        if task.batch is not None and not task.batch.answered and delay_s is not None:
            self.actions.set_timer(now_s + delay_s, task.batch)

    def finished(self, task: Task, now_s: float) -> None:
        if task.batch is not None:
            self.lateness.took(now_s - task.placed_s)
            self.busyness.took(now_s - task.placed_s)
        super().finished(task, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        if len(batch.tasks) != 1:
            return
        (task,) = batch.tasks
        if task.state is State.PLACED and task.tries + 1 < TRIES:
            urgent = self.busyness.share > self.load_limit
            self.dispatch(Task(BASE, self.base_role, batch, tries=task.tries, urgent=urgent))

    def _encode(self, group: Group) -> None:
        if self.busyness.share <= self.load_limit:
            super()._encode(group)

    def _advance(self, group: Group, task: Task | None) -> None:
        super()._advance(group, task)
        waiting = [batch for batch in group.members if not batch.answered]
        if len(waiting) == 1 and not waiting[0].hopeless:
            self._drop_queued(group)
