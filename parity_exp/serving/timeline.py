"""What delays an instance's tasks, as a function of when they start: the injected trace, seen from one instance."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence


class Timeline:
    """Piecewise constant delays of one instance.

    A task that the instance begins at time t takes ``factor(t)`` times as long, and then ``extra_s(t)`` longer. Where
    slowdowns overlap, factors multiply and extra times add up.

    Args:
        slowdowns: ``(start_s, end_s, factor, extra_s)``, seconds from the beginning of the run.
    """

    __slots__ = ("_delays", "_starts")

    def __init__(self, slowdowns: Iterable[tuple[float, float, float, float]] = ()) -> None:
        rows = list(slowdowns)
        starts: list[float] = [float("-inf")]
        delays: list[tuple[float, float]] = [(1.0, 0.0)]
        edges = sorted({edge for start, end, _, _ in rows for edge in (start, end)})
        by_start = sorted(range(len(rows)), key=lambda row: rows[row][0])
        active: set[int] = set()
        following = 0
        for edge in edges:
            active = {row for row in active if rows[row][1] > edge}
            while following < len(by_start) and rows[by_start[following]][0] <= edge:
                if rows[by_start[following]][1] > edge:
                    active.add(by_start[following])
                following += 1
            factor, extra = 1.0, 0.0
            for row in sorted(active):
                factor *= rows[row][2]
                extra += rows[row][3]
            starts.append(edge)
            delays.append((factor, extra))
        self._starts: Sequence[float] = starts
        self._delays: Sequence[tuple[float, float]] = delays

    def at(self, time_s: float) -> tuple[float, float]:
        """``(factor, extra_s)`` for a task that begins at ``time_s``."""
        return self._delays[bisect_right(self._starts, time_s) - 1]

    def __bool__(self) -> bool:
        return len(self._starts) > 1
