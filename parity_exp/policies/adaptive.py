"""Adaptive: redundancy as the load allows, from running estimates of load, lateness and slow instances.

``docs/results/adaptive.md`` explains it on a page, with what it comes to over loads and stragglers.
"""

from parity_exp.policies.budget import TOKEN_RATIO
from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE
from parity_exp.policies.hedging import IDLE_MARGIN
from parity_exp.policies.look import Look
from parity_exp.policies.parity_groups import WAIT_EXACT_MS
from parity_exp.policies.policy import BASE, Actions, Batch, Work
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct
from parity_exp.policies.resting import Resting
from parity_exp.policies.shared_parity import LOAD_LIMIT, RESERVE, SharedParity
from parity_exp.policies.work import PLACED, QUEUED
from parity_exp.ranges import Delay, Factor, Few, Instance, Loads, Margin, Percentile, Share

NEGLIGIBLE = 0.001
"""Slow tasks that are rarer than this are left to hedging: they do not show at p99.9, where parity queries might."""


class Adaptive(SharedParity):
    """Copies of every query while there is room for them, then parity, then hedging; slow instances rest.

    All instances hold all models, as for :class:`SharedParity`, and every query is hedged as there. What is sent before
    anything is late depends on the share of the instances that queries alone keep busy:

    - up to ``copy_limit`` each query has a second copy that an idle instance may take: the first answer counts, and it
      is exact;
    - then up to ``load_limit`` parity queries, for which 1/k of the work suffices, unless hardly a task is slow;
    - above it nothing.

    A query whose copy is late as well may have one more, up to ``load_limit``. An instance that was slow with most of
    its latest tasks rests: it is given low-priority work only, which shows when it has recovered, unless more tasks are
    queued than there are instances.

    Args:
        copy_limit: copies of every query up to this share of busy instances.
        copies: copies of a query under way at most, beside the first.
        copies_all: false leaves the copies of every query out, as ``copy_limit`` of 0 does.
        copies_wait: false: a query is copied only when two instances more than ``reserve`` are idle as it arrives, as
            by :class:`~parity_exp.policies.Laedge`, so that no copy is left over for later.
        skips_rare: false: parity queries are sent although hardly a task is slow.
        rests: false: slow instances are given work like the others.
        parity_apart: true: the r/k instances more than the queries need are for parity queries alone, and for copies
            that only idle instances take; the others do nothing else than queries, unless more of them are queued than
            there are instances.

    The others are those of :class:`SharedParity`.

    Attributes:
        resting: which instances rest, from ``start`` on.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "adaptive",
            "#e31a1c",
            idea="Copies of every query while there is room, then parity, then hedging; slow instances rest.",
            machines="m r / k",
            answer="exact or approximate, whichever is first",
            weakness="as for shared_parity",
            source="parity_exp",
        ),
    )

    rests_instances = True
    resting: Resting

    def __init__(
        self,
        k: int,
        r: int,
        copy_limit: Loads = 0.27,
        load_limit: Loads = LOAD_LIMIT,
        reserve: Instance = RESERVE,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        idle_margin: Margin = IDLE_MARGIN,
        copies: Few = 2,
        reconstruct: Reconstruct = RECONSTRUCT,
        wait_exact_ms: Delay = WAIT_EXACT_MS,
        max_extra: Share | None = None,
        tokens: Factor | None = None,
        token_ratio: Factor = TOKEN_RATIO,
        copies_all: bool = True,
        copies_wait: bool = True,
        sends_parity: bool = True,
        skips_rare: bool = True,
        hedges: bool = True,
        offers_early: bool = True,
        goes_first: bool = True,
        rests: bool = True,
        parity_apart: bool = False,
    ) -> None:
        super().__init__(
            k, r, load_limit, reserve, delay_ms, percentile, margin, idle_margin, reconstruct, wait_exact_ms,
            max_extra, tokens, token_ratio, sends_parity, hedges, offers_early, goes_first,
        )  # fmt: skip
        if not 0 <= copy_limit <= load_limit:
            raise ValueError(f"copy_limit={copy_limit}: expected a share of the instances from 0 to {load_limit=}")
        if copies < 1:
            raise ValueError(f"copies={copies}: expected 1 or more")
        self.copy_limit = copy_limit
        self.copies = copies
        self.copies_all = copies_all
        self.copies_wait = copies_wait
        self.skips_rare = skips_rare
        self.rests = rests
        self.parity_apart = parity_apart

    @property
    def has_room_for_copies(self) -> bool:
        """Whether every query gets a second copy at once."""
        return self.copies_all and self.busyness.share <= self.copy_limit

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.resting = Resting(actions, self.base_role, self.busyness)
        self._set_apart()

    def go_on_from(self, before: "SharedParity") -> None:
        super().go_on_from(before)
        assert isinstance(before, Adaptive)
        self.resting = before.resting
        self._set_apart()

    def _set_apart(self) -> None:
        if not self.parity_apart:
            self.resting.keep_apart(())
            return
        instances = self.actions.instances
        self.actions.queues(self.base_role).leave_free(instances)
        self.resting.keep_apart(range(self.base_instances(instances), instances))

    def arrived(self, batch: Batch, now_s: float) -> None:
        if self.resting.since_s:
            self.resting.wake_rested(now_s)
        SharedParity.arrived(self, batch, now_s)  # quicker than super()
        if self.has_room_for_copies and (
            self.copies_wait or self.actions.queues(self.base_role).idle >= self.reserve + 2  # nothing is placed yet
        ):
            self.dispatch(Work(BASE, self.base_role, batch, low=True))

    def finished(self, work: Work, now_s: float) -> None:
        self.resting.took(work.instance, now_s - work.placed_s, now_s, self.rests)
        SharedParity.finished(self, work, now_s)  # likewise

    def stopped(self, work: Work, now_s: float) -> None:
        self.resting.took(work.instance, now_s - work.placed_s, now_s, self.rests)
        super().stopped(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self.resting.slowness.failed()
        super().failed(work, now_s)

    def hedge(self, batch: Batch, now_s: float) -> None:
        delay_s = self.hedging.lateness.delay_s
        placed = [work for work in batch.under_way if work.state is PLACED]
        copies = 1 if self.is_busy else self.copies
        if not placed or delay_s is None or len(placed) > copies:
            return
        since_s = max(work.placed_s for work in placed)
        early_s = since_s + self.hedging.early * delay_s
        if now_s < early_s:  # set by an earlier copy, or when less counted as late
            self.actions.set_timer(early_s, batch)
            return
        queued = [work for work in batch.under_way if work.state is QUEUED]
        self.hedging.offer_or_send(batch, since_s, queued, now_s, self.copies_go_first)

    # ---- what Parity asks

    def wants_parity(self) -> bool:
        if self.has_room_for_copies or (self.skips_rare and self.resting.slowness.are_rarer_than(NEGLIGIBLE)):
            return False
        return super().wants_parity()
