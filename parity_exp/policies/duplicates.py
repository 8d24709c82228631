"""Low-priority duplicates: every query has a second copy that never stands in a query's way (DAS, arXiv 1905.13352)."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Batch, Work


class Duplicates(EqualResources):
    """Equal resources, and a duplicate of every query that only an instance with nothing else to do takes.

    Duplicate-aware scheduling (DAS): duplicates have strictly lower priority, and the duplicate of a query that has its
    answer is purged. A duplicate that an instance has begun goes on when a query arrives, unless instances can be
    interrupted; DAS takes it off.
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

    def arrived(self, batch: Batch, now_s: float) -> None:
        super().arrived(batch, now_s)
        self.dispatch(Work(BASE, "base", batch, low=True))
