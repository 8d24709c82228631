"""Replication: every query goes to several base instances, and the first answer counts."""

from typing import Annotated

from annotated_types import Ge, Le

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Batch, Policy, Role, Work


class Replication(Policy):
    """``factor`` times as many instances, and every query on ``factor`` of them.

    Copies that are still queued when the first answer comes are cancelled.

    Args:
        factor: copies of a query.

    Raises:
        ValueError: a factor below 2.
    """

    looks = (
        Look(
            "replication",
            "#cc79a7",
            idea="Send every query to two instances; the first answer counts.",
            machines="m",
            answer="exact",
            weakness="twice the work; tips over at half the load",
            source="-",
        ),
    )

    def __init__(self, k: int, r: int, factor: Annotated[int, Ge(2), Le(100)] = 2) -> None:
        super().__init__(k, r)
        if factor < 2:
            raise ValueError(f"factor={factor}: expected 2 copies or more; redundancy=none sends one")
        self.factor = factor

    def roles(self, base_instances: int) -> list[Role]:
        return [Role("base", self.factor * base_instances, (BASE,))]

    def arrived(self, batch: Batch, now_s: float) -> None:
        for _ in range(self.factor):
            self.dispatch(Work(BASE, "base", batch))
