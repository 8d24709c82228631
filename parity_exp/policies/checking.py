"""What policies that compare the outputs of groups have in common."""

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
