"""No redundancy: m base instances, and every query waits for its own prediction."""

from parity_exp.serving.policy import BASE, Batch, Policy, Role, Task


class NoRedundancy(Policy):
    """What a service looks like that spends nothing on its tail."""

    def roles(self, base_instances: int) -> list[Role]:
        return [Role("base", base_instances, (BASE,))]

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.dispatch(Task(BASE, "base", batch))
