"""Traits: what a cluster and its load are like, in numbers that say which redundancy may pay there."""

from math import log, sqrt

import numpy as np

from parity_exp.policies.estimates.seen import Seen

TRAITS = (
    "instances",  # logarithm
    "queries_a_group",  # k
    "parities_a_group",  # r
    "frontends",  # logarithm
    "known",  # logarithm of the tasks that the others are taken from
    "busy",  # share of the instances that queries alone keep busy
    "busy_usually",  # the same by the median of the durations
    "room",  # instances that queries leave idle, over the square root of all: by chance so many times it are busy
    "room_for_parity",
    "room_for_copies",
    "busy_at_peak",  # the same four where arrivals come as close to each other as they do in a tenth of the time
    "room_at_peak",
    "room_for_parity_at_peak",
    "room_for_copies_at_peak",
    "p10",  # durations as multiples of their median, logarithm
    "p90",
    "p95",
    "p99",
    "p99.9",
    "late",  # share of the tasks that take longer than 1.5 medians, square root
    "very_late",  # longer than three
    "apart",  # by how much instances differ in their shares of late tasks, over what is chance; logarithm
    "together",  # share of late tasks that follow a late one on the same instance
    "crowded",  # variance over mean of the arrivals in the time of 20; 1 for a Poisson process; logarithm
    "crowded_longer",  # the same of 100
    "uneven",  # standard deviation over mean of the times between arrivals, logarithm
    "pause",  # the longest of them, in tasks, logarithm
    "failed",  # tasks that came to nothing, over those that were done, square root
)
"""What there is to know, by name. None of them depends on how long a task takes as such."""

LATE, VERY_LATE = 1.5, 3.0

PEAK, PEAK_PERCENT = 20, 10
"""Arrivals that are a peak where so many in a hundred of them come within as short a time."""

FEW = 0.3
"""Added where a logarithm of what may be nothing is taken."""


def traits_of(seen: Seen, k: int, r: int) -> np.ndarray:
    """The traits of a past, float [len(TRAITS)].

    Raises:
        ValueError: no task of it is over.
    """
    durations_s = np.asarray(seen.durations_s, dtype=np.float64)
    arrivals_s = np.asarray(seen.arrivals_s, dtype=np.float64)
    if not len(durations_s) or len(arrivals_s) < 2:
        raise ValueError("nothing is over yet")
    instances = seen.all_instances
    p10, median, p90, p95, p99, p999 = np.percentile(durations_s, (10, 50, 90, 95, 99, 99.9))
    rate = seen.stands_for * (len(arrivals_s) - 1) / max(arrivals_s[-1] - arrivals_s[0], 1e-9)
    busy = rate * durations_s.mean() / instances
    late = durations_s > LATE * median
    on = np.asarray(seen.instances, dtype=np.int64)

    gaps_s = np.diff(arrivals_s)
    peak = min(PEAK, len(gaps_s))
    peak_s = np.percentile(arrivals_s[peak:] - arrivals_s[:-peak], PEAK_PERCENT)
    busy_at_peak = min(seen.stands_for * peak / max(peak_s, 1e-9) * durations_s.mean() / instances, 3.0)

    def room(times: float, busy: float = busy, least: float = -3.0) -> float:
        return float(np.clip((1 - times * busy) * sqrt(instances), least, 6))

    return np.array(
        [
            log(instances),
            k,
            r,
            log(seen.frontends),
            log(len(durations_s)),
            min(busy, 2.0),
            min(rate * median / instances, 2.0),
            room(1),
            room(1 + r / k),
            room(2),
            busy_at_peak,
            *(room(times, busy_at_peak, -6.0) for times in (1, 1 + r / k, 2)),
            *(log(one / median) for one in (p10, p90, p95, p99, p999)),
            sqrt(late.mean()),
            sqrt((durations_s > VERY_LATE * median).mean()),
            log(_apart(late, on, instances) + FEW),
            _together(late, on),
            log(_crowded(arrivals_s, 20) + FEW),
            log(_crowded(arrivals_s, 100) + FEW),
            log(gaps_s.std() / max(gaps_s.mean(), 1e-9) + 0.1),
            log(gaps_s.max() / durations_s.mean() + 0.1),
            sqrt(len(seen.losses) / len(durations_s)),
        ]
    )


def _apart(late: np.ndarray, on: np.ndarray, instances: int) -> float:
    """Variance of the instances' shares of late tasks over what it would be if all were alike."""
    usual = late.mean()
    tasks = np.bincount(on, minlength=instances)
    known = tasks >= 3
    if not 0 < usual < 1 or known.sum() < 2:
        return 1.0
    shares = np.bincount(on, weights=late, minlength=instances)[known] / tasks[known]
    return float(np.mean((shares - usual) ** 2 * tasks[known]) / (usual * (1 - usual)))


def _together(late: np.ndarray, on: np.ndarray) -> float:
    """How many of the late tasks were followed by another on their instance; the usual share while there are few."""
    order = np.argsort(on, kind="stable")  # by instance, each in order of time
    same = np.diff(on[order]) == 0
    before, after = late[order][:-1][same], late[order][1:][same]
    return float(((before & after).sum() + 2 * late.mean()) / (before.sum() + 2))


def _crowded(arrivals_s: np.ndarray, window: int) -> float:
    windows = len(arrivals_s) // window
    if windows < 3 or arrivals_s[-1] <= arrivals_s[0]:
        return 1.0
    counts = np.histogram(arrivals_s, windows)[0]
    return float(counts.var(ddof=1) / counts.mean())
