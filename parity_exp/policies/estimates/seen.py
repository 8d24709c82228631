"""What a policy has seen of late: when batches arrived, and how long instances took for which work."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from parity_exp.policies.estimates.drift import Drift
from parity_exp.policies.queues.board import Told

ARRIVED, OWN, PARITY, LOST = map(float, range(4))
"""What frontends tell each other: of an arrival, of work that is over, of work that came to nothing. Further numbers:
its instance, when it began, and when it was over."""

LEAST, MOST = 4_000, 8_000
"""Arrivals that are kept: so many at least, and no more than so many; of several frontends' each its share."""

AT_FIRST = 2_000
"""So many are told of just after a change of the load, so that they are quickly played."""

SUDDEN = 40
"""A new rate is told from so many arrivals at least."""

FEWEST = 400
"""Nor fewer than so many at any of them."""

SPAN_S = 10.0
"""Between the two, what is older than this is forgotten."""

LATEST = (50, 100, 200)
"""So many arrivals are compared with those before them, to see whether the load has changed: a great change is seen in
few."""

EARLIER = 200
"""There have to be so many before them."""

CHANGE = 4.5
"""A load has changed where the logarithm of the ratio of two rates is so many standard deviations of the newer one of a
Poisson process."""

USUAL_CHANGE, USUAL_SPREAD = 3.0, 1.44
"""Medians of the times from one to the next have to differ, too, by so many standard deviations, of which each is the
second over the square root of the latest: a pause of a load that comes in bursts is one long time."""

WINDOWS, AGAIN, CLEARLY = 4, 50, 2.0
"""By how much numbers of arrivals usually vary is told from so many windows, and anew after so many arrivals; it counts
where it is more than that of a Poisson process by so many standard deviations."""

ENOUGH = 200
"""So many parity queries tell how long one takes."""

RHYTHM, RHYTHM_ARRIVALS = 2, 4_000
"""A load that has changed so often within so many arrivals comes in bursts, and will change again before much can be
learnt. Then the past holds bursts and pauses, and what was before the next one counts as it was."""


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
        frontends: how many give these instances work.
        frontend_of: of each arrival the one that it came to; None: all came to one, and the others, of whom nothing is
            known, have as much to do.
        sure: arrivals that their rate is known from; 0: all.
    """

    arrivals_s: "array[float]"
    instances: "array[int]"
    begins_s: "array[float]"
    durations_s: "array[float]"
    parity_ratio: float
    all_instances: int
    losses: Sequence[tuple[int, float, float]] = ()
    frontends: int = 1
    frontend_of: "array[int] | None" = None
    sure: int = 0

    @property
    def stands_for(self) -> int:
        """How many arrivals there were, at all frontends, for each that was seen."""
        return self.frontends if self.frontend_of is None else 1


class Memory:
    """Keeps what has been seen of late.

    Args:
        instances: how many there are.
        frontends: how many give them work.
        frontend: which of them this is.
        tell: tells the others of all that is seen here; what they tell is for :meth:`heard`. None: they do not hear of
            each other.

    Attributes:
        stands_for: how many arrivals there are, at all frontends, for each that is known of.
        from_one_own: how many are known of from one at this frontend to the next.
    """

    def __init__(
        self, instances: int, frontends: int = 1, frontend: int = 0, tell: Callable[[Told], None] | None = None
    ) -> None:
        self.instances = instances
        self.frontends = frontends
        self.frontend = frontend
        self._tell = tell
        self.stands_for, self.from_one_own = (frontends, 1) if tell is None else (1, frontends)
        self.least, self.most = max(FEWEST, LEAST // self.stands_for), max(FEWEST, MOST // self.stands_for)
        self.drift = Drift(self.stands_for)
        self.arrivals_s = array("d")
        self.frontend_of = array("i")
        """Of each of them the frontend that it came to."""
        self.arrivals = 0
        """All that there were."""
        self.before = 0
        """Of those that are kept: what came before the last change of the load."""
        self.latest_gap_s = 0.0
        """The time from one to the next when that change was noticed."""
        self._dispersions: dict[int, tuple[int, int, float]] = {}
        """Of so many latest arrivals: since which change and after how many arrivals it was told, and what it is."""
        self.changes: list[tuple[float, int]] = []
        """When the load has changed of late, and after how many arrivals."""
        self.over: list[tuple[float, float, int, bool]] = []
        """Of what is over: its beginning, duration, instance, and whether it was a parity query."""
        self.lost: list[tuple[float, int]] = []
        """When which instance was lost, or gave work up."""

    def arrived(self, now_s: float) -> None:
        """A batch has arrived."""
        self.arrivals_s.append(now_s)
        self.frontend_of.append(self.frontend)
        self.arrivals += 1
        if len(self.arrivals_s) >= 2 * self.most:
            self._forget()
        if self._tell is not None:
            self._tell((ARRIVED, -1.0, now_s, now_s))

    def took(self, instance: int, begin_s: float, end_s: float, parity: bool) -> None:
        """Work is over."""
        self._keep_over(instance, begin_s, end_s, parity)
        if self._tell is not None:
            self._tell((PARITY if parity else OWN, instance, begin_s, end_s))

    def gave_up(self, instance: int, now_s: float) -> None:
        """Work has come to nothing: its instance was lost, or its model raised."""
        self._keep_lost(instance, now_s)
        if self._tell is not None:
            self._tell((LOST, instance, now_s, now_s))

    def heard(self, told: Iterable[tuple[int, Told]]) -> None:
        """Others have seen something since they were last heard: each frontend's number, and what it has told."""
        arrivals: list[tuple[float, int]] = []
        for frontend, (kind, instance, begin_s, end_s) in told:
            if kind == ARRIVED:
                arrivals.append((end_s, frontend))
            elif kind == LOST:
                self._keep_lost(int(instance), end_s)
            else:
                self._keep_over(int(instance), begin_s, end_s, kind == PARITY)
        if arrivals:
            self._keep_arrivals(arrivals)

    def _keep_over(self, instance: int, begin_s: float, end_s: float, parity: bool) -> None:
        if not parity:
            self.drift.took(end_s - begin_s, end_s)
        self.over.append((begin_s, end_s - begin_s, instance, parity))

    def _keep_lost(self, instance: int, now_s: float) -> None:
        if (now_s, instance) not in self.lost[-self.instances :]:
            self.lost.append((now_s, instance))

    def _keep_arrivals(self, arrivals: list[tuple[float, int]]) -> None:
        """Put arrivals in their places among the latest."""
        arrivals_s, frontend_of = self.arrivals_s, self.frontend_of
        first = bisect_left(arrivals_s, min(arrivals)[0])
        if self.before and first <= self.before:
            since_s = arrivals_s[self.before]
            self.before += sum(at_s < since_s for at_s, _ in arrivals)
        ordered = sorted([*zip(arrivals_s[first:], frontend_of[first:], strict=True), *arrivals])
        arrivals_s[first:] = array("d", [at_s for at_s, _ in ordered])
        frontend_of[first:] = array("i", [frontend for _, frontend in ordered])
        self.arrivals += len(arrivals)

    def changed(self) -> bool:
        """Whether the latest arrivals come at another rate than those before, since the last such change.

        Of a load that comes in bursts it is said for the first ones only, see :data:`RHYTHM`.
        """
        since = self._since_change()
        if since is None:
            return False
        latest = self._since_it_changed(since)
        now_s = self.arrivals_s[-1]
        latest_s = now_s - self.arrivals_s[-latest - 1]
        recent = self.arrivals - RHYTHM_ARRIVALS // self.stands_for
        self.changes = [one for one in self.changes if one[1] > recent]
        in_bursts = len(self.changes) >= RHYTHM
        if in_bursts and now_s - self.changes[-1][0] < latest_s:
            return False  # still the same change
        self.changes.append((now_s, self.arrivals))
        if in_bursts:
            self.before = 0
            return False
        self.before = len(self.arrivals_s) - latest - 1  # the first gap that counts begins with this one
        self.latest_gap_s = latest_s / latest
        return True

    def drifted(self) -> bool:
        """Whether tasks are slow more often than before, or less; if so, what was before is forgotten."""
        since_s = self.drift.since_s()
        if since_s is None:
            return False
        self._keep_from(bisect_left(self.arrivals_s, since_s))
        return True

    def _since_change(self) -> int | None:
        """How many arrivals come at another rate than those before, some of them may be earlier; None where none do."""
        arrivals_s = self.arrivals_s
        found, most = None, CHANGE
        for latest in LATEST:
            earlier = len(arrivals_s) - self.before - latest - 1
            if earlier < EARLIER:
                break
            middle_s = arrivals_s[-latest - 1]
            latest_s, earlier_s = arrivals_s[-1] - middle_s, middle_s - arrivals_s[self.before]
            if latest_s > 0 and earlier_s > 0:
                sigmas = abs(log(latest / latest_s * earlier_s / earlier)) * sqrt(latest)
                if sigmas >= most:
                    sigmas /= sqrt(self._dispersion(latest))
                if sigmas >= most and self._usually_differs(latest):
                    found, most = latest, sigmas
        return found

    def _dispersion(self, latest: int) -> float:
        """Variance over mean of how many came in the time of so many, before those; 1 for a Poisson process and less.

        A load that comes in bursts has times in which more come and times in which fewer do, and no change is made of
        each.
        """
        since = self.changes[-1][1] if self.changes else 0
        known_since, known, dispersion = self._dispersions.get(latest, (-1, 0, 1.0))
        if known_since != since or self.arrivals - known >= AGAIN:
            earlier_s = np.asarray(self.arrivals_s[self.before : -latest])
            windows = len(earlier_s) // latest
            dispersion = 1.0
            if windows >= WINDOWS and earlier_s[-1] > earlier_s[0]:
                counts = np.histogram(earlier_s, windows)[0]
                ratio = float(counts.var(ddof=1) / counts.mean())
                if ratio > 1 + CLEARLY * sqrt(2 / (windows - 1)):
                    dispersion = ratio
            self._dispersions[latest] = since, self.arrivals, dispersion
        return dispersion

    def _usually_differs(self, latest: int) -> bool:
        """Whether it is not one long time from one arrival to the next that makes the latest ones rarer."""
        gaps_s = np.diff(self.arrivals_s[self.before :])
        now_s, before_s = np.median(gaps_s[-latest:]), np.median(gaps_s[:-latest])
        if now_s <= 0 or before_s <= 0:  # so many come at once that there is no telling
            return True
        return abs(log(now_s / before_s)) * sqrt(latest) >= USUAL_CHANGE * USUAL_SPREAD

    def _since_it_changed(self, latest: int) -> int:
        """How many of the latest arrivals are most likely to have come since then: two Poisson processes, one after the
        other, of which the first has the rate of what was before."""
        of_late_s = np.asarray(self.arrivals_s[-latest - 1 :])
        rate = (len(self.arrivals_s) - self.before - latest - 1) / (of_late_s[0] - self.arrivals_s[self.before])
        before = np.arange(latest - SUDDEN + 1)
        before = before[of_late_s[before] < of_late_s[-1]]  # a rate is not told from what came at once
        since, since_s = latest - before, of_late_s[-1] - of_late_s[before]
        likely = (
            before * log(rate) - rate * (of_late_s[before] - of_late_s[0]) + since * np.log(since / since_s) - since
        )
        return int(since[likely.argmax()])

    def seen(self) -> Seen:
        """What is kept; of what was before a change of the load as if it had been at the present rate."""
        self._forget()
        if self.before and len(self.arrivals_s) - self.before <= LATEST[-1]:
            self._keep_from(max(0, len(self.arrivals_s) - max(FEWEST, AT_FIRST // self.stands_for)))
        since_s = self.arrivals_s[0] if self.arrivals_s else 0.0
        self.over = [end for end in self.over if end[0] >= since_s]
        self.lost = [loss for loss in self.lost if loss[0] >= since_s]
        ordered = sorted(self.over)
        own = _long_ago([end for end in ordered if not end[3]], self.arrivals_s[-1] if self.arrivals_s else 0.0)
        begins_s: dict[int, list[float]] = {}
        for begin_s, _, instance, _ in ordered:
            begins_s.setdefault(instance, []).append(begin_s)
        at_s = self._clock()
        return Seen(
            array("d", map(at_s, self.arrivals_s)),
            array("l", [instance for _, _, instance, _ in own]),
            array("d", [at_s(begin_s) for begin_s, _, _, _ in own]),
            array("d", [duration_s for _, duration_s, _, _ in own]),
            _ratio([end[1] for end in ordered if end[3]], [end[1] for end in own]),
            self.instances,
            [(instance, at_s(lost_s), at_s(back_s)) for instance, lost_s, back_s in _absences(self.lost, begins_s)],
            self.frontends,
            self.frontend_of[:] if self.stands_for < self.frontends else None,
            len(self.arrivals_s) - self.before,
        )

    def _clock(self) -> Callable[[float], float]:
        """When something would have been, had arrivals before the last change come as quickly as those since then."""
        before, arrivals_s = self.before, self.arrivals_s
        if not before or arrivals_s[before] <= arrivals_s[0]:  # or all that is left of them came at once
            return lambda at_s: at_s
        change_s = arrivals_s[before]
        now_s = (arrivals_s[-1] - change_s) / (len(arrivals_s) - 1 - before)
        squeeze = now_s * before / (change_s - arrivals_s[0])
        return lambda at_s: at_s if at_s >= change_s else change_s - (change_s - at_s) * squeeze

    def _forget(self) -> None:
        arrivals_s = self.arrivals_s
        if not arrivals_s:
            return
        young = len(arrivals_s) - bisect_left(arrivals_s, arrivals_s[-1] - SPAN_S, lo=self.before)
        self._keep_from(max(0, len(arrivals_s) - min(self.most, max(self.least, young))))

    def _keep_from(self, first: int) -> None:
        if first:
            del self.arrivals_s[:first], self.frontend_of[:first]
            self.before = max(0, self.before - first)
            since_s = self.arrivals_s[0]
            self.over = [end for end in self.over if end[0] >= since_s]
            self.lost = [loss for loss in self.lost if loss[0] >= since_s]


def _long_ago(own: list[tuple[float, float, int, bool]], now_s: float) -> list[tuple[float, float, int, bool]]:
    """Without what began so lately that only quick work can be over; all, where nothing began earlier."""
    if not own:
        return own
    slow_s = sorted(duration_s for _, duration_s, _, _ in own)[int(0.99 * len(own))]
    return own[: bisect_right(own, now_s - slow_s, key=lambda end: end[0])] or own


def _absences(lost: list[tuple[float, int]], begins_s: dict[int, list[float]]) -> Iterator[tuple[int, float, float]]:
    """Which instance was gone, from when until when; several frontends notice it one after the other."""
    until_s: dict[int, float] = {}
    for lost_s, instance in sorted(lost):
        if lost_s >= until_s.get(instance, lost_s):
            until_s[instance] = _next(begins_s.get(instance, []), lost_s)
            yield instance, lost_s, until_s[instance]


def _next(begins_s: list[float], lost_s: float) -> float:
    """When an instance that was lost began something again; at once, where nothing is known of that."""
    at = bisect_right(begins_s, lost_s)
    return begins_s[at] if at < len(begins_s) else lost_s


def _ratio(parities_s: list[float], own_s: list[float]) -> float:
    """The ratio of the medians; 1 while too little is known."""
    if len(parities_s) < ENOUGH or not own_s:
        return 1.0
    return sorted(parities_s)[len(parities_s) // 2] / sorted(own_s)[len(own_s) // 2]
