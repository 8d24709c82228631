"""Shared parity: every instance holds base and parity models, and parity queries run on idle time only."""

from parity_exp.policies.busyness import Busyness
from parity_exp.policies.lateness import Lateness
from parity_exp.policies.look import Look
from parity_exp.policies.parity import Parity
from parity_exp.policies.policy import BASE, TRIES, Batch, Group, Role, State, Task
from parity_exp.ranges import Delay, Instance, Loads, Margin, Percentile


class SharedParity(Parity):
    """ParM without the split into base and parity instances, plus hedging.

    All ``m + ceil(m r / k)`` instances serve queries, so at high load the base model has all of them. Parity queries
    are work for idle instances, and a little less than that, since an instance that has begun one is not free for the
    next query: they leave ``reserve`` instances free, they are dropped once they could help one query only, which
    hedging does exactly, and above ``load_limit`` they are not sent at all.

    A query that is late is sent again, as by :class:`Hedged`. A little earlier its copy is offered to idle instances,
    on the terms of parity queries; and above ``load_limit``, where parity does not help, copies go ahead of queries
    that have just arrived.

    Args:
        load_limit: no parity while queries alone keep more than this share of the instances busy.
        reserve: instances that parity queries leave free.
        delay_ms: hedge after this time; None takes a running percentile.
        percentile: of the durations of recent tasks.
        margin: factor on the percentile.
        idle_margin: the same for copies that only idle instances take: at most ``margin``.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "shared_parity",
            "#009e73",
            idea="All instances hold all models; parity runs on idle time only, late queries are hedged.",
            machines="m r / k",
            answer="exact or approximate, whichever is first",
            weakness="every instance needs room for both models",
            source="parity_exp",
        ),
    )

    base_role = "shared"
    parity_role = "shared"
    parity_is_low = True

    def __init__(
        self,
        k: int,
        r: int,
        load_limit: Loads = 0.52,
        reserve: Instance = 1,
        delay_ms: Delay | None = None,
        percentile: Percentile = 90,
        margin: Margin = 1.2,
        idle_margin: Margin = 1.05,
    ) -> None:
        super().__init__(k, r)
        if load_limit < 0:
            raise ValueError(f"load_limit={load_limit}: expected a share of the instances, 0 or more")
        if reserve < 0:
            raise ValueError(f"reserve={reserve}: expected a number of instances, 0 or more")
        self.load_limit = load_limit
        self.reserve = reserve
        if not 1 <= idle_margin <= margin:
            raise ValueError(f"idle_margin={idle_margin}: expected a number from 1 to margin={margin}")
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.idle_share = idle_margin / margin
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
            self.actions.set_timer(now_s + self.idle_share * delay_s, task.batch)

    def finished(self, task: Task, now_s: float) -> None:
        if task.batch is not None:
            self.lateness.took(now_s - task.placed_s)
            self.busyness.took(now_s - task.placed_s)
        super().finished(task, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        delay_s = self.lateness.delay_s
        if not batch.tasks or delay_s is None:
            return
        first, *copies = batch.tasks
        tries = batch.tries
        if first.state is not State.PLACED or tries + 1 >= TRIES:
            return
        late_s = first.placed_s + delay_s
        if now_s < late_s:
            if not copies:
                self.dispatch(Task(BASE, self.base_role, batch, tries=tries, low=True))
            self.actions.set_timer(late_s, batch)
        elif all(copy.low and copy.state is State.QUEUED for copy in copies):
            # No instance has been idle since: now it is a query's turn, and where queries alone fill the instances,
            # ahead of those that have just arrived.
            self.cancel_tasks(batch)
            urgent = self.busyness.share > self.load_limit
            self.dispatch(Task(BASE, self.base_role, batch, tries=tries, urgent=urgent))

    def _encode(self, group: Group) -> None:
        if self.busyness.share <= self.load_limit:
            super()._encode(group)

    def _advance(self, group: Group, task: Task | None) -> None:
        super()._advance(group, task)
        waiting = [batch for batch in group.members if not batch.answered]
        if len(waiting) == 1 and not waiting[0].hopeless:
            self._drop_queued(group)
