"""Instances are lost and added at given times: a pool that somebody, or an autoscaler, makes smaller and larger."""

from collections.abc import Sequence
from math import inf

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.disturbances.nested import shuffled
from parity_exp.disturbances.straggler import Straggler
from parity_exp.disturbances.trace import GONE, Disturbance


class Resize(Straggler):
    """At each of some times so many instances are lost, or so many of those that are not there are added.

    Which are lost is drawn, and who was lost last is added first. A cluster begins whole: where it is to grow, it is
    begun as large as it will be, and ``[0, -4]`` takes four of its instances away until ``[30, 4]``. What an instance
    has when it is lost is lost with it.

    Args:
        changes: ``[time in seconds, how many more]`` of each; fewer are below 0.

    Raises:
        SettingError: changes that cannot be.
    """

    def __init__(self, changes: Sequence[Sequence[float]]) -> None:
        self.changes = sorted((_change(number, change) for number, change in enumerate(changes, 1)), key=_time)
        there = 0
        for time_s, more in self.changes:
            there += more
            if there > 0:
                raise SettingError(
                    f"{{changes}}: at {time_s:g} s there would be {there} more instances than the cluster has; begin "
                    f"with a larger one, and with [0, -{there}]"
                )

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        order = shuffled(instances, random)
        lost_s: list[float] = []  # since when each of the first of the order is gone
        rows = []
        for time_s, more in self.changes:
            if time_s >= duration_s:
                break
            for _ in range(-more):
                lost_s.append(time_s)
            if len(lost_s) >= instances:
                raise SettingError(
                    f"{{changes}}: at {time_s:g} s {len(lost_s)} instances would be gone, of {instances} that there are"
                )
            for _ in range(more):
                since_s = lost_s.pop()
                rows.append(Disturbance(GONE, order[len(lost_s)], since_s, time_s))
        rows += [Disturbance(GONE, order[place], since_s, duration_s) for place, since_s in enumerate(lost_s)]
        return [row for row in rows if row.end_s > row.start_s]


def _change(number: int, change: object) -> tuple[float, int]:
    """When, and how many more.

    Raises:
        SettingError: it is no change.
    """
    wanted = "expected [time in seconds, a whole number of instances other than 0], such as [30, -2]"
    if not isinstance(change, Sequence) or isinstance(change, str) or len(change) != 2:
        raise SettingError(f"{{changes}}: change {number} is {change}, {wanted}")
    time_s, more = change
    if isinstance(more, bool) or not isinstance(more, int | float) or more != int(more) or not more:
        raise SettingError(f"{{changes}}: change {number} is {change}, {wanted}")
    if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not 0 <= time_s < inf:
        raise SettingError(f"{{changes}}: change {number} is {change}, expected a time of 0 or more seconds")
    return float(time_s), int(more)


def _time(change: tuple[float, int]) -> float:
    return change[0]
