"""Who compares outputs for a policy, since policies see none."""

from collections.abc import Collection

from parity_exp.policies.work import Group, Work


class Judge:
    """The judge of a simulation: it has no outputs either, and finds nothing wrong."""

    def suspects(self, group: Group) -> Collection[int]:
        """See :meth:`parity_exp.policies.policy.Actions.suspects`."""
        return ()

    def agree(self, work: Work, other: Work) -> bool:
        """See :meth:`parity_exp.policies.policy.Actions.agree`."""
        return True
