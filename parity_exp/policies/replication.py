"""Replication: every query goes to several base instances, and the first answer counts."""

from typing import Annotated

from annotated_types import Ge, Le

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Batch, Policy, Role, Work


class Replication(Policy):
    """Every query on ``factor`` instances, of ``factor`` times as many or of as many as other policies have.

    Copies that are still queued when the first answer comes are cancelled.

    Args:
        factor: copies of a query.
        equal_resources: true for ``m + ceil(m r / k)`` instances, as other policies have; false for ``factor`` m.

    Raises:
        ValueError: a factor below 2.
    """

    looks = (
        Look(
            "replication",
            "#cc79a7",
            idea="Send every query to two instances; the first answer counts.",
            machines="m, or m r / k",
            answer="exact",
            weakness="twice the work; tips over at half the load",
            source="-",
        ),
    )

    def __init__(
        self, k: int, r: int, factor: Annotated[int, Ge(2), Le(100)] = 2, equal_resources: bool = False
    ) -> None:
        super().__init__(k, r)
        if factor < 2:
            raise ValueError(f"factor={factor}: expected 2 copies or more; redundancy=none sends one")
        self.factor = factor
        self.equal_resources = equal_resources

    def roles(self, base_instances: int) -> list[Role]:
        if self.equal_resources:
            return [Role("base", base_instances + self.extra_instances(base_instances), (BASE,))]
        return [Role("base", self.factor * base_instances, (BASE,))]

    def arrived(self, batch: Batch, now_s: float) -> None:
        for _ in range(self.factor):
            self.dispatch(Work(BASE, "base", batch))
