"""What the oracle knows: how long every task would take on every instance, and when instances are gone."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import inf

from parity_exp.disturbances.trace import KILL, Disturbance
from parity_exp.policies.policy import Work
from parity_exp.simulation.random_times import ServiceTimes


class Foresight:
    """Tells when each instance would be through with a task.

    Args:
        service: draws the service times.
        trace: with the kills.
        restart_s: how long an instance is gone that was killed so many times before.
        instances: how many there are.
    """

    def __init__(
        self,
        service: ServiceTimes,
        trace: Sequence[Disturbance],
        restart_s: Callable[[int, int], float],
        instances: int,
    ) -> None:
        self.service = service
        self.restart_s = restart_s
        self.kills_s: list[list[float]] = [[] for _ in range(instances)]
        for row in sorted((row for row in trace if row.kind == KILL), key=lambda row: row.start_s):
            if row.instance < instances:
                self.kills_s[row.instance].append(row.start_s)

    def __call__(self, task: Work, begins_s: Sequence[float]) -> list[float]:
        """When each instance would be through with a task that it could begin at its time; infinity if it dies."""
        begins_s = [self._there(instance, begin_s) for instance, begin_s in enumerate(begins_s)]
        times_s = self.service.foresee(task, begins_s)
        return [
            begin_s + time_s if self._survives(instance, begin_s, time_s) else inf
            for instance, (begin_s, time_s) in enumerate(zip(begins_s, times_s, strict=True))
        ]

    def _there(self, instance: int, time_s: float) -> float:
        """When an instance is there, from a time on."""
        kills_s = self.kills_s[instance]
        earlier = bisect_right(kills_s, time_s)
        if not earlier:
            return time_s
        return max(time_s, kills_s[earlier - 1] + self.restart_s(instance, earlier - 1))

    def _survives(self, instance: int, begin_s: float, time_s: float) -> bool:
        kills_s = self.kills_s[instance]
        return bisect_right(kills_s, begin_s) == bisect_right(kills_s, begin_s + time_s)
