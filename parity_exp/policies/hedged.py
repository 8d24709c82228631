"""Hedged requests: a query that is late is sent to a second instance (The Tail at Scale, CACM 2013)."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.lateness import Lateness
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, TRIES, Batch, State, Task
from parity_exp.ranges import Delay, Few, Margin, Percentile


class Hedged(EqualResources):
    """Equal resources, and a second copy of what takes too long.

    The clock of a query starts when an instance is given it: a copy of what is still queued would only queue as well.
    The first answer counts; a copy that is still queued then is cancelled. A copy of what has failed before inherits
    its tries, and a last try is not copied: a query that no instance can answer is not tried for ever.

    Args:
        delay_ms: send again after this time; None takes a running percentile.
        percentile: of the durations of recent tasks.
        margin: factor on the percentile.
        copies: further copies under way at most, each after another delay.
        urgent: copies go to the head of the queue; otherwise they are requests like any other.
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
        percentile: Percentile = 90,
        margin: Margin = 1.2,
        copies: Few = 1,
        urgent: bool = False,
    ) -> None:
        super().__init__(k, r)
        if copies < 1:
            raise ValueError(f"copies={copies}: expected 1 or more; redundancy=equal_resources sends none")
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.copies = copies
        self.urgent = urgent

    def placed(self, task: Task, now_s: float) -> None:
        delay_s = self.lateness.delay_s
        if task.batch is not None and not task.batch.answered and delay_s is not None:
            self.actions.set_timer(now_s + delay_s, task.batch)

    def finished(self, task: Task, now_s: float) -> None:
        self.lateness.took(now_s - task.placed_s)
        super().finished(task, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        # While a copy is queued another one would not be quicker.
        if len(batch.tasks) <= self.copies and all(task.state is State.PLACED for task in batch.tasks):
            tries = batch.tries
            if tries + 1 < TRIES:
                self.dispatch(Task(BASE, "base", batch, tries=tries, urgent=self.urgent))
