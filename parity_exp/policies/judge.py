"""Who compares outputs for a policy, since policies see none."""

from collections.abc import Collection

from parity_exp.policies.policy import Group, Task


class Judge:
    """The judge of a simulation: it has no outputs either, and finds nothing wrong."""

    def suspects(self, group: Group) -> Collection[int]:
        """See :meth:`parity_exp.policies.policy.Actions.suspects`."""
        return ()

    def agree(self, task: Task, other: Task) -> bool:
        """See :meth:`parity_exp.policies.policy.Actions.agree`."""
        return True
