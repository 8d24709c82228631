"""What delays an instance's tasks, as a function of when they start: the injected trace, seen from one instance."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable


class Timeline:
    """Piecewise constant delays of one instance.

    A task that the instance begins at time t takes ``factor(t)`` times as long, and then ``extra_s(t)`` longer. Where
    slowdowns overlap, factors multiply and extra times add up.

    Args:
        slowdowns: ``(start_s, end_s, factor, extra_s)``, seconds from the beginning of the run.
    """

    __slots__ = ("_extras_s", "_factors", "_starts_s")

    def __init__(self, slowdowns: Iterable[tuple[float, float, float, float]] = ()) -> None:
        rows = list(slowdowns)
        # Flat arrays, since the traces of long runs on many instances have millions of edges.
        self._starts_s = array("d", [float("-inf")])
        self._factors = array("d", [1.0])
        self._extras_s = array("d", [0.0])
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
            self._starts_s.append(edge)
            self._factors.append(factor)
            self._extras_s.append(extra)

    def at(self, time_s: float) -> tuple[float, float]:
        """``(factor, extra_s)`` for a task that begins at ``time_s``."""
        place = bisect_right(self._starts_s, time_s) - 1
        return self._factors[place], self._extras_s[place]

    def __bool__(self) -> bool:
        return len(self._starts_s) > 1
