"""When instances are lost, and when they are there again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from parity_exp.disturbances.trace import GONE, KILL, Disturbance


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """An instance is lost.

    Attributes:
        start_s: when.
        instance: which.
        until_s: until when it is gone; None: for as long as a restart takes.
    """

    start_s: float
    instance: int
    until_s: float | None = None


def losses_of(trace: Iterable[Disturbance], instances: int) -> list[Loss]:
    """The losses in a trace, in the order of time; those of instances that there are not are left out."""
    losses = [
        Loss(row.start_s, row.instance, row.end_s if row.kind == GONE else None)
        for row in trace
        if row.kind in (KILL, GONE) and row.instance < instances
    ]
    return sorted(losses, key=lambda loss: (loss.start_s, loss.instance, loss.until_s is None))


class Returns:
    """Says when an instance is there again, loss by loss.

    A restart does not bring back an instance before the end of an absence that it falls into.

    Args:
        restart_s: how long an instance is gone that was lost so many times before; infinity: for good.
        instances: how many there are.
    """

    def __init__(self, restart_s: Callable[[int, int], float], instances: int) -> None:
        self._restart_s = restart_s
        self._lost = [0] * instances
        self._away_until_s = [0.0] * instances

    def after(self, loss: Loss) -> float:
        """When the instance of a loss is there again; asked once for each loss, in the order of time."""
        instance = loss.instance
        restart_s = self._restart_s(instance, self._lost[instance])
        self._lost[instance] += 1
        if loss.until_s is not None:
            self._away_until_s[instance] = max(self._away_until_s[instance], loss.until_s)
            return self._away_until_s[instance]
        return max(loss.start_s + restart_s, self._away_until_s[instance])
