"""Oracle: the policy that knows in advance how long every task will take, as a bound for all that do not."""

from math import inf

from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, Policy, Role, Work


class Oracle(Policy):
    """Every query goes to the instance that will be through with it first, in the order of arrival.

    On the ``m + ceil(m r / k)`` machines that a code would use, and without redundancy: who knows all service times
    needs none. Only a simulation can tell them, so it cannot be served. It looks at every instance for every query.
    """

    looks = (
        Look(
            "oracle",
            "#1a1a1a",
            idea="Knows all service times in advance: a bound, for simulations only.",
            machines="m r / k",
            answer="exact",
            weakness="does not exist",
            source="-",
            is_bound=True,
        ),
    )

    needs_foresight = True

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.free_s: list[float] = []  # when each instance will have done what it was given

    def roles(self, base_instances: int) -> list[Role]:
        count = base_instances + self.extra_instances(base_instances)
        # A role of its own for each instance: the policy decides where work goes, not the desk.
        return [Role(f"oracle-{instance}", 1, (BASE,)) for instance in range(count)]

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.free_s = [0.0] * actions.instances

    def arrived(self, batch: Batch, now_s: float) -> None:
        ends_s = self.free_s
        work = Work(BASE, "", batch)
        through_s = self.foresee(work, [max(now_s, free_s) for free_s in ends_s])
        best = min(range(len(through_s)), key=through_s.__getitem__)
        if through_s[best] < inf:
            ends_s[best] = through_s[best]
        work.role = f"oracle-{best}"
        self.dispatch(work)
