"""Low-priority duplicates: every query has a second copy that never stands in a query's way (DAS, arXiv 1905.13352)."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, State, Work


class Duplicates(EqualResources):
    """Equal resources, and a duplicate of every query that only an instance with nothing else to do takes.

    Duplicate-aware scheduling (DAS): duplicates have strictly lower priority, and the duplicate of a query that has its
    answer is purged. Where instances can be interrupted, a duplicate that one has begun makes room for a query that
    arrives and finds none idle, as in DAS; elsewhere it goes on.
    """

    looks = (
        Look(
            "duplicates",
            "#b15928",
            idea="Queues a second copy of every query at low priority: idle instances take it.",
            machines="m r / k, or none",
            answer="exact",
            weakness="a duplicate that has begun keeps its instance from the next query",
            source="DAS, arXiv 1905.13352",
        ),
    )

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.running: dict[Work, None] = {}  # duplicates that instances have begun

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.running = {}

    def arrived(self, batch: Batch, now_s: float) -> None:
        super().arrived(batch, now_s)
        if self.running and not self.actions.queues("base").idle:
            latest = next((work for work in reversed(self.running) if not work.stopping), None)
            if latest is not None and latest.state is State.PLACED and not self._is_all_there_is(latest):
                self.actions.stop(latest)
        self.dispatch(Work(BASE, "base", batch, low=True))

    @staticmethod
    def _is_all_there_is(work: Work) -> bool:
        """Whether what it duplicates has been lost for good."""
        return work.batch is not None and len(work.batch.under_way) == 1

    def cancel_queued(self, batch: Batch) -> None:
        for work in batch.under_way:
            if work.state is State.QUEUED:
                self.running.pop(work, None)  # its instance has refused it
        super().cancel_queued(batch)

    def placed(self, work: Work, now_s: float) -> None:
        if work.low:
            self.running[work] = None

    def finished(self, work: Work, now_s: float) -> None:
        self.running.pop(work, None)
        super().finished(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self.running.pop(work, None)
        super().failed(work, now_s)

    def stopped(self, work: Work, now_s: float) -> None:
        self.running.pop(work, None)
        super().stopped(work, now_s)
        batch = work.batch
        if batch is not None and not batch.answered and not batch.under_way:
            # What it duplicated has been lost for good since it was told to stop.
            self.dispatch(Work(BASE, "base", batch, tries=work.tries))
