"""What the oracle knows: how long every task would take on every instance, and when instances are gone."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import inf

from parity_exp.disturbances.trace import Disturbance
from parity_exp.policies.policy import Work
from parity_exp.simulation.losses import Returns, losses_of
from parity_exp.simulation.random_times import ServiceTimes


class Foresight:
    """Tells when each instance would be through with a task.

    Args:
        service: draws the service times.
        trace: with the kills and absences.
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
        self.losses_s: list[list[float]] = [[] for _ in range(instances)]
        self.back_s: list[list[float]] = [[] for _ in range(instances)]
        returns = Returns(restart_s, instances)
        for loss in losses_of(trace, instances):
            self.losses_s[loss.instance].append(loss.start_s)
            self.back_s[loss.instance].append(returns.after(loss))

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
        earlier = bisect_right(self.losses_s[instance], time_s)
        return max(time_s, self.back_s[instance][earlier - 1]) if earlier else time_s

    def _survives(self, instance: int, begin_s: float, time_s: float) -> bool:
        losses_s = self.losses_s[instance]
        return bisect_right(losses_s, begin_s) == bisect_right(losses_s, begin_s + time_s)
