"""Single-R: a query is reissued after a time with a probability, both from the measured distribution (SPAA 2017)."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.estimates.single_r import SingleR
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, TRIES, Actions, Batch, State, Work
from parity_exp.ranges import Percentile, PositiveShare

GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio fill [0, 1) evenly, in any order of looking: a policy has no random numbers."""


class Reissue(EqualResources):
    """Equal resources, and of what takes longer than d a share q is sent once more.

    Kaler, He, Elnikety (SPAA 2017): among policies that reissue once, one delay with one probability is the best, where
    durations are independent. Both follow from the last durations, so that a percentile is the least that the budget
    allows (:func:`~parity_exp.policies.estimates.single_r.single_r`). The time counts from when an instance is given
    the query, as for :class:`~parity_exp.policies.Hedged`.

    Args:
        percentile: of the durations that is to be least.
        budget: reissues over queries, at most.
        urgent: reissues go to the head of the queue; otherwise they are requests like any other.

    Attributes:
        best: knows the delay and the probability.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "reissue",
            "#8c6d31",
            idea="Sends a share q of what takes longer than d once more; d and q follow from measured durations.",
            machines="m r / k, or none",
            answer="exact",
            weakness="takes durations for independent: what makes a query slow everywhere, or an instance for long, is "
            "not seen",
            source="Kaler, He, Elnikety, SPAA 2017",
        ),
    )

    def __init__(
        self, k: int, r: int, percentile: Percentile = 99, budget: PositiveShare = 0.1, urgent: bool = True
    ) -> None:
        super().__init__(k, r)
        self.best = SingleR(percentile, budget)
        self.urgent = urgent
        self.considered = 0

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.best.forget()
        self.considered = 0

    def placed(self, work: Work, now_s: float) -> None:
        batch = work.batch
        assert batch is not None
        if self.best.delay_s is None or batch.answered or len(batch.under_way) > 1 or work.tries:
            return
        self.considered += 1
        if self.considered * GOLDEN % 1 < self.best.probability:
            self.actions.set_timer(now_s + self.best.delay_s, batch)

    def finished(self, work: Work, now_s: float) -> None:
        self.best.took(now_s - work.placed_s)
        super().finished(work, now_s)

    def stopped(self, work: Work, now_s: float) -> None:
        self.best.took(now_s - work.placed_s)  # it would have taken longer still
        super().stopped(work, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        if len(batch.under_way) == 1 and batch.under_way[0].state is State.PLACED and batch.tries + 1 < TRIES:
            self.dispatch(Work(BASE, "base", batch, tries=batch.tries, urgent=self.urgent))
