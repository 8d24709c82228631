"""LAEDGE: a central queue, and clones on idle servers only (When to Hedge in Interactive Services, NSDI 2021)."""

from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, State, Work


class Laedge(EqualResources):
    """A query that finds two idle instances or more goes to two of them; one that finds one, to that one.

    One that finds none waits in the central queue, and is sent once. Whether a query is cloned is decided when it
    arrives: a clone never waits, neither for an instance nor in front of a query. The first answer counts.

    It needs the central queue (``queue=single``): only there an instance that is idle is seen to be.
    """

    looks = (
        Look(
            "laedge",
            "#a6761d",
            idea="Sends a query to two instances when two are idle as it arrives, else to one.",
            machines="m r / k, or none",
            answer="exact",
            weakness="the busier the instances, the fewer clones: none at high load",
            source="LAEDGE: When to Hedge in Interactive Services, NSDI 2021",
        ),
    )

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.clones: list[Work] = []  # that were sent, and may not have been placed

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.clones = []

    def arrived(self, batch: Batch, now_s: float) -> None:
        self._withdraw()
        super().arrived(batch, now_s)
        if self.actions.queues("base").idle >= 2:
            clone = Work(BASE, "base", batch, low=True)
            self.clones.append(clone)
            self.dispatch(clone)

    def placed(self, work: Work, now_s: float) -> None:
        if work in self.clones:
            self.clones.remove(work)

    def finished(self, work: Work, now_s: float) -> None:
        self._withdraw()
        super().finished(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self._withdraw()
        super().failed(work, now_s)

    def _withdraw(self) -> None:
        """Take back clones that no idle instance has taken at once."""
        for clone in self.clones:
            if clone.state is State.QUEUED:
                self.actions.cancel(clone)
                assert clone.batch is not None
                clone.batch.under_way.remove(clone)
        self.clones.clear()
