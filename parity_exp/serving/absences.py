"""Instances that a trace says are not there for a while, whatever their processes do."""

from collections.abc import Iterable
from math import inf

from parity_exp.disturbances.trace import GONE, Disturbance


class Absences:
    """Says when instances are not to be used, and when they are again.

    The process of an instance is killed at the beginning of an absence, and the pool starts another one as after any
    death: this holds that back from the desk until the absence is over. An instance that is not there from the
    beginning has its process, and is given nothing.

    Args:
        rows: the trace.
        instances: how many there are; rows of others are left out.
    """

    def __init__(self, rows: Iterable[Disturbance], instances: int) -> None:
        spans = [
            (row.start_s, row.end_s, row.instance) for row in rows if row.kind == GONE and row.instance < instances
        ]
        self._starting = sorted(spans, reverse=True)  # the next one is the last
        self._until_s: dict[int, float] = {}
        self._waiting: set[int] = set()

    def from_the_beginning(self) -> list[int]:
        """Instances that are not there when a run begins, but could be; asked once, at its beginning."""
        self._begin(0.0)
        self._waiting = set(self._until_s)
        return sorted(self._waiting)

    def holds_back(self, instance: int, now_s: float) -> bool:
        """Whether an instance that has come up is not to be used yet; :meth:`over` names it when it is."""
        away = self.away(instance, now_s)
        if away:
            self._waiting.add(instance)
        return away

    def away(self, instance: int, now_s: float) -> bool:
        """Whether an instance is not there by the trace, whatever its process does."""
        self._begin(now_s)
        return self._until_s.get(instance, 0.0) > now_s

    def died(self, instance: int) -> None:
        """An instance has no process any more."""
        self._waiting.discard(instance)

    def over(self, now_s: float) -> list[int]:
        """Instances that could have been used but for an absence that is over."""
        self._begin(now_s)
        for instance in [one for one, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[instance]
        back = sorted(instance for instance in self._waiting if instance not in self._until_s)
        self._waiting.difference_update(back)
        return back

    @property
    def next_s(self) -> float:
        """When :meth:`over` is to be asked next; infinity: never."""
        return min((until_s for one, until_s in self._until_s.items() if one in self._waiting), default=inf)

    def _begin(self, now_s: float) -> None:
        while self._starting and self._starting[-1][0] <= now_s:
            _, until_s, instance = self._starting.pop()
            self._until_s[instance] = max(self._until_s.get(instance, 0.0), until_s)
