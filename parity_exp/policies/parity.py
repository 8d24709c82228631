"""Parity (ParM): parity models on instances of their own, and whichever comes first answers.

Parity Models, SOSP 2019, sections 3 and 4. A group is k consecutive batches; its r parity queries are dispatched when
the k-th batch arrives. As soon as predictions and parity outputs together suffice, which the code says, what is missing
is reconstructed, and work that has become useless is taken out of the queues.
"""

from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE, Lateness
from parity_exp.policies.look import Look
from parity_exp.policies.parity_groups import WAIT_EXACT_MS, ParityGroups
from parity_exp.policies.policy import BASE, Actions, Batch, Group, Policy, Role, Work
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct, waits_for
from parity_exp.ranges import Delay, Margin, Percentile


class Parity(Policy):
    """m base instances and ``ceil(m r / k)`` parity instances; each of these holds all r parity models.

    Args:
        reconstruct: ``first``: clients get the first answer there is, a reconstruction or the base model's own.
            ``late``: a query is reconstructed when it has waited for longer than tasks usually take, or when its task
            has failed; until then the base model's own answer, which is exact, may still come.
        delay_ms: late after this time; None takes a running percentile. This and what follows is for ``late`` alone.
        percentile: of the durations of recent tasks.
        margin: factor on the percentile.
        wait_exact_ms: a reconstruction that could be given is held back this long for the exact answer, as long as
            that is under way; 0: it is given at once.

    Attributes:
        groups: the coding groups.
        lateness: knows what is late; None where that makes no difference, or somebody else teaches it.

    Raises:
        ValueError: a value outside its range.
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

    def __init__(
        self,
        k: int,
        r: int,
        reconstruct: Reconstruct = RECONSTRUCT,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        wait_exact_ms: Delay = WAIT_EXACT_MS,
    ) -> None:
        super().__init__(k, r)
        self.lateness = waits_for(reconstruct, Lateness(delay_ms, percentile, margin))
        self.groups = ParityGroups(k, r, "parity", lateness=self.lateness, wait_exact_ms=wait_exact_ms)

    def roles(self, base_instances: int) -> list[Role]:
        extra = self.extra_instances(base_instances)
        return [Role("base", base_instances, (BASE,)), Role("parity", extra, self.groups.models)]

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        if self.lateness is not None:
            self.lateness.forget()
        self.groups.start(self)

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Work(BASE, self.base_role, batch))
        group = self.groups.join(batch)
        if self.groups.filling is None and self.wants_parity():
            self.groups.encode(group)

    def finished(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            if self.lateness is not None:
                self.lateness.took(now_s - work.placed_s)
            Policy.finished(self, work, now_s)  # quicker than super()
        group = self.groups.finished(work)
        if group is not None:
            self.settle(group, work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        if work.batch is not None:
            super().failed(work, now_s)
        group = self.groups.failed(work)
        if group is not None:
            self.settle(group, work, now_s)

    def given_up(self, batch: Batch, work: Work) -> None:
        pass  # the code may still have an answer: `failed` goes on to see

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        if batch.group is not None:
            self.settle(batch.group, None, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        if batch.group is not None:
            self.settle(batch.group, None, now_s)

    # ---- for subclasses

    def wants_parity(self) -> bool:
        """Whether parity queries are sent for a group that has just become full."""
        return True

    def settle(self, group: Group, work: Work | None, now_s: float) -> None:
        """See what a group has come to; see :meth:`ParityGroups.settle`."""
        self.groups.settle(group, work, now_s)
