"""Parity (ParM): parity models on instances of their own, and whichever comes first answers.

Parity Models, SOSP 2019, sections 3 and 4. A group is k consecutive batches; its r parity queries are dispatched when
the k-th batch arrives. As soon as predictions and parity outputs together suffice, what is missing is reconstructed,
and work that has become useless is taken out of the queues.
"""

from parity_exp.policies.look import Look
from parity_exp.policies.parity_groups import ParityGroups
from parity_exp.policies.policy import BASE, Actions, Batch, Group, Policy, Role, Work


class Parity(Policy):
    """m base instances and ``ceil(m r / k)`` parity instances; each of these holds all r parity models.

    Attributes:
        groups: the coding groups.
    """

    looks = (
        Look(
            "parity",
            "#0072b2",
            idea="k queries make one parity query, for a network trained to output the sum of their predictions.",
            machines="m r / k",
            answer="approximate, where a task is late",
            weakness="base instances have none of the extra machines: it collapses when they are full",
            source="ParM: Parity Models, SOSP 2019",
        ),
    )

    uses_groups = True
    base_role = "base"

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.groups = ParityGroups(k, r, "parity")

    def roles(self, base_instances: int) -> list[Role]:
        extra = self.extra_instances(base_instances)
        return [Role("base", base_instances, (BASE,)), Role("parity", extra, self.groups.models)]

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.groups.start(self)

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Work(BASE, self.base_role, batch))
        group = self.groups.join(batch)
        if self.groups.filling is None and self.wants_parity():
            self.groups.encode(group)

    def finished(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            super().finished(work, now_s)
        group = self.groups.finished(work)
        if group is not None:
            self.settle(group, work)

    def failed(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            super().failed(work, now_s)
        group = self.groups.failed(work)
        if group is not None:
            self.settle(group, work)

    def given_up(self, batch: Batch, work: Work) -> None:
        pass  # the code may still have an answer: `failed` goes on to see

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        if batch.group is not None:
            self.settle(batch.group, None)

    # ---- for subclasses

    def wants_parity(self) -> bool:
        """Whether parity queries are sent for a group that has just become full."""
        return True

    def settle(self, group: Group, work: Work | None) -> None:
        """See what a group has come to; see :meth:`ParityGroups.settle`."""
        self.groups.settle(group, work)
