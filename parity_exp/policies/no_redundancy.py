"""No redundancy: m base instances, and every query waits for its own prediction."""

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Batch, Policy, Role, Work


class NoRedundancy(Policy):
    """What a service looks like that spends nothing on its tail."""

    looks = (
        Look(
            "none",
            "#a6a6a6",
            idea="Wait.",
            machines="none",
            answer="-",
            weakness="the slowest instance decides the tail",
            source="-",
        ),
    )

    def roles(self, base_instances: int) -> list[Role]:
        return [Role("base", base_instances, (BASE,))]

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Work(BASE, "base", batch))
