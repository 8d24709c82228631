"""Shared parity: every instance holds base and parity models, and parity queries run on idle time only."""

from parity_exp.policies.budget import TOKEN_RATIO, Budget
from parity_exp.policies.estimates.busyness import Busyness
from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE
from parity_exp.policies.hedging import IDLE_MARGIN, Hedging
from parity_exp.policies.look import Look
from parity_exp.policies.parity import Parity
from parity_exp.policies.parity_groups import WAIT_EXACT_MS, ParityGroups
from parity_exp.policies.policy import BASE, Actions, Batch, Role, Work
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct, waits_for
from parity_exp.policies.work import PLACED
from parity_exp.ranges import Delay, Factor, Instance, Loads, Margin, Percentile, Share

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
        wait_exact_ms: as for :class:`Parity`.
        max_extra: as for :class:`Hedged`; so are ``tokens`` and ``token_ratio``.
        tokens: likewise.
        token_ratio: likewise.
        sends_parity: false leaves parity queries out.
        hedges: false leaves copies of what is late out.
        offers_early: false: copies are sent after ``margin`` only, and not offered to idle instances before.
        goes_first: false: copies never go ahead of queries that have just arrived.

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
        wait_exact_ms: Delay = WAIT_EXACT_MS,
        max_extra: Share | None = None,
        tokens: Factor | None = None,
        token_ratio: Factor = TOKEN_RATIO,
        sends_parity: bool = True,
        hedges: bool = True,
        offers_early: bool = True,
        goes_first: bool = True,
    ) -> None:
        super().__init__(k, r)
        if load_limit < 0:
            raise ValueError(f"load_limit={load_limit}: expected a share of the instances, 0 or more")
        if reserve < 0:
            raise ValueError(f"reserve={reserve}: expected a number of instances, 0 or more")
        self.load_limit = load_limit
        self.reserve = reserve
        self.sends_parity = sends_parity
        self.hedges = hedges
        self.goes_first = goes_first
        budget = Budget(max_extra, tokens, token_ratio)
        early = idle_margin if offers_early else None
        self.hedging = Hedging(self.base_role, delay_ms, percentile, margin, early, budget)
        lateness = waits_for(reconstruct, self.hedging.lateness)
        self.groups = ParityGroups(k, r, self.base_role, idle_only=True, lateness=lateness, wait_exact_ms=wait_exact_ms)

    def roles(self, base_instances: int) -> list[Role]:
        instances = base_instances + self.extra_instances(base_instances)
        return [Role(self.base_role, instances, (BASE, *self.groups.models))]

    @property
    def is_busy(self) -> bool:
        """Whether queries alone keep so many instances busy that parity does not help."""
        return self.busyness.share > self.load_limit

    @property
    def copies_go_first(self) -> bool:
        """Whether copies go to the head of the queue."""
        return self.goes_first and self.is_busy

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.hedging.start(self)
        self.busyness = Busyness(actions.share)
        self._leave_reserve()

    def go_on_from(self, before: "SharedParity") -> None:
        """Go on with a run that another one of the same class has begun, knowing what it knows."""
        self.actions = before.actions
        self.groups.go_on_from(before.groups, self)
        self.hedging.go_on_from(before.hedging, self)
        self.busyness = before.busyness
        self._leave_reserve()

    def _leave_reserve(self) -> None:
        self.actions.queues(self.base_role).leave_free(min(self.reserve, self.actions.instances - 1))

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.busyness.arrived(now_s)
        if self.hedging.budget.max_extra is not None:
            self.hedging.budget.arrived(now_s)
        Parity.arrived(self, batch, now_s)  # quicker than super()

    def placed(self, work: Work, now_s: float) -> None:
        if self.hedges and work.batch is not None:
            self.hedging.placed(work, now_s)

    def finished(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            duration_s = now_s - work.placed_s
            self.hedging.took(duration_s)
            self.busyness.took(duration_s)
        Parity.finished(self, work, now_s)  # likewise

    def stopped(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            self.hedging.lateness.took(now_s - work.placed_s)  # it would have taken longer still
        super().stopped(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self.hedging.budget.failed()
        super().failed(work, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        if self.groups.sets_timers:
            super().timer(batch, now_s)
            if batch.answered:
                return
        if self.hedges:
            self.hedge(batch, now_s)

    def hedge(self, batch: Batch, now_s: float) -> None:
        """See whether a batch without an answer is late, and send a copy if it is."""
        delay_s = self.hedging.lateness.delay_s
        if not batch.under_way or delay_s is None:
            return
        first, *copies = batch.under_way
        early_s = first.placed_s + self.hedging.early * delay_s
        if self.groups.sets_timers and first.state is PLACED and now_s < early_s:
            self.actions.set_timer(early_s, batch)  # it was called for what the code could do
            return
        if first.state is PLACED:
            # Where queries alone fill the instances, a copy goes ahead of those that have just arrived.
            self.hedging.offer_or_send(batch, first.placed_s, copies, now_s, self.copies_go_first)

    # ---- what Parity asks

    def wants_parity(self) -> bool:
        return self.sends_parity and not self.is_busy
