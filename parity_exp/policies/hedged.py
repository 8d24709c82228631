"""Hedged requests: a query that is late is sent to a second instance (The Tail at Scale, CACM 2013)."""

from parity_exp.policies.budget import TOKEN_RATIO, Budget
from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.estimates.lateness import PERCENTILE
from parity_exp.policies.hedging import IDLE_MARGIN, Hedging
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Actions, Batch, Work
from parity_exp.policies.work import PLACED
from parity_exp.ranges import Delay, Factor, Few, Margin, Percentile, Share


class Hedged(EqualResources):
    """Equal resources, and a second copy of what takes too long.

    The first answer counts; a copy that is still queued then is cancelled. When a query is late says
    :class:`~parity_exp.policies.hedging.Hedging`. With its defaults a copy is sent when the other policies that hedge
    send theirs, and it is never behind other queries in a queue.

    Args:
        delay_ms: send again after this time; None takes a running percentile.
        percentile: of the durations of recent tasks.
        margin: factor on the percentile.
        copies: further copies under way at most, each after another delay.
        urgent: copies go to the head of the queue; otherwise they are requests like any other.
        max_extra: copies over queries, at most (Finagle's ``maxExtraLoad``); None: any.
        tokens: of a budget that failures use up (gRPC's ``retryThrottling``); None: copies whatever fails.
        token_ratio: tokens that a success gives back. :class:`~parity_exp.policies.budget.Budget` explains all three.

    Attributes:
        hedging: sends copies of what is late.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "hedged",
            "#e69f00",
            idea="Send a query again when its task takes longer than nine in ten do.",
            machines="m r / k, or none",
            answer="exact",
            weakness="waits first: no late answer before the delay and a second service time",
            source="The Tail at Scale, CACM 2013",
        ),
    )

    def __init__(
        self,
        k: int,
        r: int,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = IDLE_MARGIN,
        copies: Few = 1,
        urgent: bool = True,
        max_extra: Share | None = None,
        tokens: Factor | None = None,
        token_ratio: Factor = TOKEN_RATIO,
    ) -> None:
        super().__init__(k, r)
        if copies < 1:
            raise ValueError(f"copies={copies}: expected 1 or more; redundancy=equal_resources sends none")
        budget = Budget(max_extra, tokens, token_ratio)
        self.hedging = Hedging("base", delay_ms, percentile, margin, budget=budget)
        self.copies = copies
        self.urgent = urgent

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.hedging.start(self)

    def arrived(self, batch: Batch, now_s: float) -> None:
        if self.hedging.budget.max_extra is not None:
            self.hedging.budget.arrived(now_s)
        EqualResources.arrived(self, batch, now_s)  # quicker than super()

    def placed(self, work: Work, now_s: float) -> None:
        self.hedging.placed(work, now_s)

    def finished(self, work: Work, now_s: float) -> None:
        self.hedging.took(now_s - work.placed_s)
        EqualResources.finished(self, work, now_s)  # likewise

    def stopped(self, work: Work, now_s: float) -> None:
        self.hedging.lateness.took(now_s - work.placed_s)  # it would have taken longer still
        super().stopped(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self.hedging.budget.failed()
        super().failed(work, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        # While a copy is queued another one would not be quicker.
        under_way = batch.under_way
        if len(under_way) > self.copies:
            return
        for work in under_way:
            if work.state is not PLACED:
                return
        if self.hedging.may_copy(batch, now_s):
            self.hedging.copy(batch, urgent=self.urgent)
