"""Tied requests: a query is queued at two instances, and the one that starts first cancels the other's."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Batch, State, Work
from parity_exp.ranges import Delay


class Tied(EqualResources):
    """Equal resources, and a query that has not been started after a short time is queued at a second instance.

    The Tail at Scale (CACM 2013): most of what varies is how long a query waits in the queue of its instance, and two
    queues are seldom both long. The instance that starts first cancels the other's request. The second request is sent
    a little after the first, twice the mean time of a message: otherwise both instances would start before they hear
    of each other where both are idle.

    It helps where each instance has a queue of its own (``queue=round_robin``); with one queue for all, a query is
    always started by whoever is free first. Work that an instance holds beyond the piece that it works at
    (``prefetch`` above 1) counts as started: nobody sees it start.

    Args:
        delay_ms: the second request follows after this time; 0: at once.
    """

    looks = (
        Look(
            "tied",
            "#17becf",
            idea="Queues a query at two instances; the one that starts first cancels the other's.",
            machines="m r / k, or none",
            answer="exact",
            weakness="cuts waiting only: of no use against an instance that is slow once it has started",
            source="The Tail at Scale, CACM 2013",
        ),
    )

    def __init__(self, k: int, r: int, delay_ms: Delay = 1.0) -> None:
        super().__init__(k, r)
        if delay_ms < 0:
            raise ValueError(f"delay_ms={delay_ms}: expected a time of 0 or more")
        self.delay_s = delay_ms / 1e3

    def arrived(self, batch: Batch, now_s: float) -> None:
        super().arrived(batch, now_s)
        if self.delay_s:
            self.actions.set_timer(now_s + self.delay_s, batch)
        else:
            self.dispatch(Work(BASE, "base", batch))

    def timer(self, batch: Batch, now_s: float) -> None:
        if len(batch.under_way) == 1 and batch.under_way[0].state is State.QUEUED:
            self.dispatch(Work(BASE, "base", batch, tries=batch.tries))

    def placed(self, work: Work, now_s: float) -> None:
        assert work.batch is not None
        if len(work.batch.under_way) > 1:
            self.cancel_queued(work.batch)
