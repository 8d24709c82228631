"""What is done to an instance's tasks, as a function of when they start: the injected trace, seen from one instance."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

GARBAGE, STUCK, NAN = FAULTS = ("garbage", "stuck", "nan")


@dataclass(frozen=True, slots=True)
class Fault:
    """How an instance is corrupted.

    Attributes:
        kind: ``garbage``: its outputs are normal noise, ``scale`` times as large as the true ones (root mean square).
            ``stuck``: it gives out again what it last gave out for the model, zeros where that is nothing.
            ``nan``: it gives out what is not a number.
        scale: of ``garbage``.
    """

    kind: str
    scale: float = 1.0


class Timeline:
    """Piecewise constant delays and faults of one instance.

    A task that the instance begins at time t takes ``factor(t)`` times as long, and then ``extra_s(t)`` longer. Where
    slowdowns overlap, factors multiply and extra times add up. Its outputs are spoilt by ``fault(t)``; where faults
    overlap, the one that began last does it.

    Args:
        slowdowns: ``(start_s, end_s, factor, extra_s)``, seconds from the beginning of the run.
        faults: ``(start_s, end_s, fault)``.
    """

    __slots__ = ("_extras_s", "_factors", "_fault_starts", "_faults", "_starts_s")

    def __init__(
        self,
        slowdowns: Iterable[tuple[float, float, float, float]] = (),
        faults: Iterable[tuple[float, float, Fault]] = (),
    ) -> None:
        rows = list(slowdowns)
        # Flat arrays, since the traces of long runs on many instances have millions of edges.
        self._starts_s = array("d", [float("-inf")])
        self._factors = array("d", [1.0])
        self._extras_s = array("d", [0.0])
        for edge, active in _pieces([row[:2] for row in rows]):
            factor, extra = 1.0, 0.0
            for row in sorted(active):
                factor *= rows[row][2]
                extra += rows[row][3]
            self._starts_s.append(edge)
            self._factors.append(factor)
            self._extras_s.append(extra)

        wrong = list(faults)
        self._fault_starts: list[float] = [float("-inf")]
        self._faults: list[Fault | None] = [None]
        for edge, active in _pieces([row[:2] for row in wrong]):
            last = max(active, key=lambda row: (wrong[row][0], row), default=None)
            self._fault_starts.append(edge)
            self._faults.append(None if last is None else wrong[last][2])

    def at(self, time_s: float) -> tuple[float, float]:
        """``(factor, extra_s)`` for a task that begins at ``time_s``."""
        place = bisect_right(self._starts_s, time_s) - 1
        return self._factors[place], self._extras_s[place]

    def fault(self, time_s: float) -> Fault | None:
        """What spoils the outputs of a task that begins at ``time_s``."""
        return self._faults[bisect_right(self._fault_starts, time_s) - 1]

    @property
    def spoils(self) -> bool:
        """Whether there are faults at all."""
        return len(self._faults) > 1

    def __bool__(self) -> bool:
        return len(self._starts_s) > 1 or self.spoils


def _pieces(spans: Sequence[tuple[float, float]]) -> Iterator[tuple[float, set[int]]]:
    """For each edge of some spans, ascending, which of them hold from there to the next one."""
    by_start = sorted(range(len(spans)), key=lambda row: spans[row][0])
    active: set[int] = set()
    following = 0
    for edge in sorted({edge for span in spans for edge in span}):
        active = {row for row in active if spans[row][1] > edge}
        while following < len(by_start) and spans[by_start[following]][0] <= edge:
            if spans[by_start[following]][1] > edge:
                active.add(by_start[following])
            following += 1
        yield edge, active
