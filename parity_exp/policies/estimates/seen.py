"""What a policy has seen of late: when batches arrived, and how long instances took for which work."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

LEAST, MOST = 2_000, 8_000
"""Arrivals that are kept: so many at least, and no more than so many; of several frontends' each its share."""

SPAN_S = 10.0
"""Between the two, what is older than this is forgotten."""

LATEST = 200
"""So many arrivals are compared with those before them, to see whether the load has changed."""

CHANGE = 4.0 / sqrt(LATEST)
"""Logarithm of the ratio of two rates from which on they are not the same; of a Poisson process that is four standard
deviations of the newer one."""

RHYTHM, RHYTHM_ARRIVALS = 2, 6_000
"""A load that has changed so often within :data:`SPAN_S`, or within so many arrivals, comes in bursts, and will change
again. Then the past holds bursts and pauses, and nothing of it is forgotten because of the next one."""


@dataclass(frozen=True)
class Seen:
    """A stretch of the past, for who wants to play it again.

    Attributes:
        arrivals_s: when batches arrived, in seconds, ascending.
        instances: of each piece of work that is over, on which instance it was.
        begins_s: when that had been given it, ascending.
        durations_s: how long it took.
        parity_ratio: how long a parity query typically takes, as a multiple of a query.
        all_instances: how many instances there are.
        losses: which instance was lost with its work, when, and when it next had some, in seconds.
        frontends: how many give these instances work, as much as this one each.
    """

    arrivals_s: "array[float]"
    instances: "array[int]"
    begins_s: "array[float]"
    durations_s: "array[float]"
    parity_ratio: float
    all_instances: int
    losses: Sequence[tuple[int, float, float]] = ()
    frontends: int = 1


class Memory:
    """Keeps what has been seen of late.

    Args:
        instances: how many there are.
        frontends: how many give them work.
    """

    def __init__(self, instances: int, frontends: int = 1) -> None:
        self.instances = instances
        self.frontends = frontends
        self.least, self.most = max(2 * LATEST, LEAST // frontends), max(2 * LATEST, MOST // frontends)
        self.arrivals_s = array("d")
        self.arrivals = 0
        """All that there were."""
        self.changes: list[tuple[float, int]] = []
        """When the load has changed of late, and after how many arrivals."""
        self.over: list[tuple[float, float, int, bool]] = []
        """Of what is over: its beginning, duration, instance, and whether it was a parity query."""
        self.lost: list[tuple[float, int]] = []
        """When which instance was lost, or gave work up."""

    def arrived(self, now_s: float) -> None:
        """A batch has arrived."""
        self.arrivals_s.append(now_s)
        self.arrivals += 1
        if len(self.arrivals_s) >= 2 * self.most:
            self._forget()

    def took(self, instance: int, begin_s: float, end_s: float, parity: bool) -> None:
        """Work is over."""
        self.over.append((begin_s, end_s - begin_s, instance, parity))

    def gave_up(self, instance: int, now_s: float) -> None:
        """Work has come to nothing: its instance was lost, or its model raised."""
        if (now_s, instance) not in self.lost[-self.instances :]:
            self.lost.append((now_s, instance))

    def changed(self) -> bool:
        """Whether the latest arrivals come at another rate than those before; if so, what was before is forgotten.

        Of a load that comes in bursts it is said for the first ones only, see :data:`RHYTHM`.
        """
        arrivals_s = self.arrivals_s
        if len(arrivals_s) < 2 * LATEST:
            return False
        middle_s = arrivals_s[-LATEST - 1]
        latest_s, earlier_s = arrivals_s[-1] - middle_s, middle_s - arrivals_s[0]
        earlier = len(arrivals_s) - LATEST - 1
        if latest_s <= 0 or earlier_s <= 0 or abs(log(LATEST / latest_s * earlier_s / earlier)) < CHANGE:
            return False
        now_s = arrivals_s[-1]
        recent = self.arrivals - RHYTHM_ARRIVALS // self.frontends
        self.changes = [one for one in self.changes if one[0] > now_s - SPAN_S or one[1] > recent]
        in_bursts = len(self.changes) >= RHYTHM
        if in_bursts and now_s - self.changes[-1][0] < latest_s:
            return False  # still the same change
        self.changes.append((now_s, self.arrivals))
        if in_bursts:
            return False
        self._keep_from(len(arrivals_s) - LATEST)
        return True

    def seen(self) -> Seen:
        """What is kept."""
        self._forget()
        since_s = self.arrivals_s[0] if self.arrivals_s else 0.0
        self.over = [end for end in self.over if end[0] >= since_s]
        self.lost = [loss for loss in self.lost if loss[0] >= since_s]
        ordered = sorted(self.over)
        own = [end for end in ordered if not end[3]]
        begins_s: dict[int, list[float]] = {}
        for begin_s, _, instance, _ in ordered:
            begins_s.setdefault(instance, []).append(begin_s)
        return Seen(
            self.arrivals_s[:],
            array("l", [instance for _, _, instance, _ in own]),
            array("d", [begin_s for begin_s, _, _, _ in own]),
            array("d", [duration_s for _, duration_s, _, _ in own]),
            _ratio([end[1] for end in ordered if end[3]], [end[1] for end in own]),
            self.instances,
            [(instance, lost_s, _next(begins_s.get(instance, []), lost_s)) for lost_s, instance in self.lost],
            self.frontends,
        )

    def _forget(self) -> None:
        arrivals_s = self.arrivals_s
        young = len(arrivals_s) - bisect_left(arrivals_s, arrivals_s[-1] - SPAN_S) if arrivals_s else 0
        self._keep_from(max(0, len(arrivals_s) - min(self.most, max(self.least, young))))

    def _keep_from(self, first: int) -> None:
        if first:
            del self.arrivals_s[:first]
            since_s = self.arrivals_s[0]
            self.over = [end for end in self.over if end[0] >= since_s]
            self.lost = [loss for loss in self.lost if loss[0] >= since_s]


def _next(begins_s: list[float], lost_s: float) -> float:
    """When an instance that was lost began something again; at once, where nothing is known of that."""
    at = bisect_right(begins_s, lost_s)
    return begins_s[at] if at < len(begins_s) else lost_s


def _ratio(parities_s: list[float], own_s: list[float]) -> float:
    """The ratio of the medians; 1 while too little is known."""
    if len(parities_s) < LATEST or not own_s:
        return 1.0
    return sorted(parities_s)[len(parities_s) // 2] / sorted(own_s)[len(own_s) // 2]
