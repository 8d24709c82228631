"""When to reissue, and how often: the best single reissue for a percentile, from durations that were measured."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

WINDOW = 1_000
"""Durations that are looked at: the last this many."""

FIRST = 100
"""Until this many durations are known, nothing is reissued."""

REFRESH = 200
"""Delay and probability are computed again after this many further durations."""


def single_r(ordered_s: Sequence[float], percentile: float, budget: float) -> tuple[float, float]:
    """The delay d and the probability q of a single reissue that make a percentile of the response time least.

    A reissue after d with probability q answers within t with probability ``F(t) + q (1 - F(t)) F(t - d)``, and is sent
    with probability ``q (1 - F(d))``, which the budget bounds (Kaler, He, Elnikety, Optimal Reissue Policies for
    Reducing Tail Latency, SPAA 2017, sections 2 and 4: SingleR, for durations that are independent). Each delay is
    tried with the probability that uses up the budget; t goes down as long as one of them allows it.

    Args:
        ordered_s: ``(n,)``, durations, ascending, one at least.
        percentile: that is to be least, between 0 and 100.
        budget: reissues over requests, above 0.

    Returns:
        d in seconds, and q from 0 to 1; q = 0 where no reissue within the budget makes the percentile less.
    """
    count = len(ordered_s)
    wanted = percentile / 100
    place = count - 1  # t is the duration there
    best_delay_s, best_probability = ordered_s[-1], 0.0
    while place > 0 and place / count >= wanted:  # without a reissue: the share of the durations up to the one before
        place -= 1
    for index, delay_s in enumerate(ordered_s):
        later = 1 - (index + 1) / count
        probability = 1.0 if later <= budget else budget / later
        while place > 0:
            time_s = ordered_s[place - 1]
            if delay_s >= time_s:
                break
            share = place / count
            again = bisect_right(ordered_s, time_s - delay_s) / count
            if share + probability * (1 - share) * again < wanted:
                break
            place -= 1
            best_delay_s, best_probability = delay_s, probability
        if delay_s >= ordered_s[place]:
            break
    return best_delay_s, best_probability


class SingleR:
    """Keeps the best single reissue for the last :data:`WINDOW` durations.

    Args:
        percentile: of the durations that is to be least.
        budget: reissues over requests.

    Attributes:
        delay_s: after which a reissue is sent; None while nothing is known.
        probability: with which it is.

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(self, percentile: float, budget: float) -> None:
        if not 0 < percentile < 100:
            raise ValueError(f"percentile={percentile}: expected a number between 0 and 100")
        if not 0 < budget <= 1:
            raise ValueError(f"budget={budget}: expected a share of the queries, above 0 and at most 1")
        self.percentile = percentile
        self.budget = budget
        self.forget()

    def forget(self) -> None:
        """Begin anew, with nothing known."""
        self._durations_s: deque[float] = deque(maxlen=WINDOW)
        self._fresh = 0
        self.delay_s: float | None = None
        self.probability = 0.0

    def took(self, duration_s: float) -> None:
        """Learn how long a task has taken."""
        self._durations_s.append(duration_s)
        self._fresh += 1
        if self._fresh >= REFRESH or (self.delay_s is None and self._fresh >= FIRST):
            self._fresh = 0
            self.delay_s, self.probability = single_r(sorted(self._durations_s), self.percentile, self.budget)
