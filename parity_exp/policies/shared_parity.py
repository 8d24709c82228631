"""Shared parity: every instance holds base and parity models, and parity queries run on idle time only."""

from parity_exp.policies.estimates.busyness import Busyness
from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE
from parity_exp.policies.hedging import IDLE_MARGIN, Hedging
from parity_exp.policies.look import Look
from parity_exp.policies.parity import Parity
from parity_exp.policies.parity_groups import ParityGroups
from parity_exp.policies.policy import BASE, Actions, Batch, Role, State, Work
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct, waits_for
from parity_exp.ranges import Delay, Instance, Loads, Margin, Percentile

LOAD_LIMIT = 0.52
"""Unless a policy is told otherwise: no parity while queries keep more than this share of the instances busy."""

RESERVE = 1
"""Unless a policy is told otherwise: instances that parity queries leave free."""


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
        reconstruct: ``first`` or ``late``, as for :class:`Parity`; late is what would be hedged.

    Attributes:
        hedging: sends copies of what is late.
        busyness: knows the load, from ``start`` on.

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
    busyness: Busyness

    def __init__(
        self,
        k: int,
        r: int,
        load_limit: Loads = LOAD_LIMIT,
        reserve: Instance = RESERVE,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        idle_margin: Margin = IDLE_MARGIN,
        reconstruct: Reconstruct = RECONSTRUCT,
    ) -> None:
        super().__init__(k, r)
        if load_limit < 0:
            raise ValueError(f"load_limit={load_limit}: expected a share of the instances, 0 or more")
        if reserve < 0:
            raise ValueError(f"reserve={reserve}: expected a number of instances, 0 or more")
        self.load_limit = load_limit
        self.reserve = reserve
        self.hedging = Hedging(self.base_role, delay_ms, percentile, margin, idle_margin)
        lateness = waits_for(reconstruct, self.hedging.lateness)
        self.groups = ParityGroups(k, r, self.base_role, idle_only=True, lateness=lateness)

    def roles(self, base_instances: int) -> list[Role]:
        instances = base_instances + self.extra_instances(base_instances)
        return [Role(self.base_role, instances, (BASE, *self.groups.models))]

    @property
    def is_busy(self) -> bool:
        """Whether queries alone keep so many instances busy that parity does not help."""
        return self.busyness.share > self.load_limit

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.hedging.start(self)
        self.busyness = Busyness(actions.instances)
        actions.queues(self.base_role).leave_free(min(self.reserve, actions.instances - 1))

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.busyness.arrived(now_s)
        super().arrived(batch, now_s)

    def placed(self, work: Work, now_s: float) -> None:
        self.hedging.placed(work, now_s)

    def finished(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            duration_s = now_s - work.placed_s
            self.hedging.lateness.took(duration_s)
            self.busyness.took(duration_s)
        super().finished(work, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        if self.groups.lateness is not None:
            super().timer(batch, now_s)
            if batch.answered:
                return
        self.hedge(batch, now_s)

    def hedge(self, batch: Batch, now_s: float) -> None:
        """See whether a batch without an answer is late, and send a copy if it is."""
        delay_s = self.hedging.lateness.delay_s
        if not batch.under_way or delay_s is None:
            return
        first, *copies = batch.under_way
        early_s = first.placed_s + self.hedging.early * delay_s
        if self.groups.lateness is not None and first.state is State.PLACED and now_s < early_s:
            self.actions.set_timer(early_s, batch)  # it was called for what the code could do
            return
        if first.state is State.PLACED and self.hedging.may_copy(batch):
            # Where queries alone fill the instances, a copy goes ahead of those that have just arrived.
            self.hedging.offer_or_send(batch, first.placed_s, copies, now_s, urgent=self.is_busy)

    # ---- what Parity asks

    def wants_parity(self) -> bool:
        return not self.is_busy
