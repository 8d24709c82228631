"""Equal resources: the machines that a code would use for parity models hold more copies of the base model."""

from parity_exp.policies.look import Look
from parity_exp.policies.no_redundancy import NoRedundancy
from parity_exp.policies.policy import BASE, Role


class EqualResources(NoRedundancy):
    """``m + ceil(m r / k)`` base instances: the baseline of Parity Models, section 5.1."""

    looks = (
        Look(
            "equal_resources",
            "#4d4d4d",
            idea="Spend the machines that a code would use on more instances instead.",
            machines="m r / k",
            answer="-",
            weakness="a late instance is as late as before",
            source="the baseline of Parity Models",
            is_baseline=True,
        ),
    )

    def roles(self, base_instances: int) -> list[Role]:
        return [Role("base", base_instances + self.extra_instances(base_instances), (BASE,))]
