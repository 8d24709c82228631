"""What policies that compare the outputs of groups have in common."""

from parity_exp.policies.needs import Needs

FALSE_ALARM_RATE = 0.01
"""Unless a policy is told otherwise: how often a sound group may be taken for a wrong one."""


def checked_rate(false_alarm_rate: float) -> float:
    """A false alarm rate that can be.

    Raises:
        ValueError: a rate outside of (0, 1).
    """
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate={false_alarm_rate}: expected a share between 0 and 1")
    return false_alarm_rate


def refuse_incomparable(needs: Needs) -> None:
    """Refuse a code whose outputs cannot be compared with each other.

    To find ``floor(r / 2)`` wrong ones, so many at most are set aside, and every other own prediction is compared with
    what the code makes of what is left.

    Raises:
        ValueError: the code does not give an own prediction back then.
    """
    for aside in range(needs.r // 2 + 1):
        for own in range(min(aside, needs.k - 1) + 1):
            lost, outputs = own + 1, needs.r - (aside - own)
            if not needs.suffice(needs.k - lost, outputs):
                raise ValueError(
                    f"it compares outputs, which takes a code that gives {lost} of {needs.k} predictions back from "
                    f"{outputs} parity outputs, and its code gives {needs.k - needs.members[outputs]}; leave it out"
                )
