"""The twin: a policy's recent past, played again under other settings."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from math import inf, sqrt

import numpy as np

from parity_exp.disturbances.trace import GONE, Disturbance
from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.policy import BASE, AnswerSource, Policy, Work
from parity_exp.policies.replay import Replayed
from parity_exp.simulation.cluster import simulate
from parity_exp.simulation.outcome import Outcome

NEIGHBOURS = 16
"""A task takes as long as one of so many that its instance really did at about that time. Of fewer the long ones are
taken too often, since a time is more likely to be within a long one; then copies seem to be better than they are."""

ENOUGH, AGAIN = 3_000, 4
"""A past of fewer arrivals is played several times without a break, but no more than so often, each time with other
choices among neighbours."""

LEAD = 500
"""So many of the past's last arrivals are played once before and do not count, so that nobody is judged by how empty
the cluster was in the beginning, or how little was known then of slow instances."""

LONG_LEAD = 5_000
"""With several frontends so many, over several rounds where the past is shorter: copies that one of them makes delay
what others have placed, which makes more copies. It takes hundreds of service times for that to grow, if it does."""

CAUTION = 1.0
"""Arrivals are played that much faster, over the square root of the number that their rate is known from, which is by
how much it may have been higher than seen: redundancy for which there is no room costs more than what is missing of
it."""

TASK_S = 25e-6
"""How long it takes to play a task again, about."""

APART = 10
"""Where load comes in bursts, arrivals at another frontend are those at this one, so many arrivals later, and with a
third one twice as many."""

WINDOW, SIGMAS = 20, 3.0
"""Load comes in bursts where the numbers of arrivals within the time of so many vary more than those of a Poisson
process do, by so many standard deviations."""


class SeenTimes:
    """How long tasks take: as long as one that the same instance did at about that time.

    Args:
        seen: the past.
        seed: of the choices among neighbours.
        length_s: after so long the past begins again.
    """

    def __init__(self, seen: Seen, seed: int = 0, length_s: float = inf) -> None:
        self.length_s = length_s
        self.begins_s: list[list[float]] = [[] for _ in range(seen.all_instances)]
        self.durations_s: list[list[float]] = [[] for _ in range(seen.all_instances)]
        for instance, begin_s, duration_s in zip(seen.instances, seen.begins_s, seen.durations_s, strict=True):
            self.begins_s[instance].append(begin_s)
            self.durations_s[instance].append(duration_s)
        everything = sorted(zip(seen.begins_s, seen.durations_s, strict=True))
        for instance, known in enumerate(self.begins_s):
            if not known:  # it has done nothing: take it for one of the others
                self.begins_s[instance] = [begin_s for begin_s, _ in everything]
                self.durations_s[instance] = [duration_s for _, duration_s in everything]
        self.parity_ratio = seen.parity_ratio
        self.choices = np.random.default_rng(seed).integers(0, NEIGHBOURS, 4096).tolist()
        self.asked = 0

    def __call__(self, work: Work, begin_s: float) -> float:
        begins_s = self.begins_s[work.instance]
        self.asked = (self.asked + 1) % 4096
        last = len(begins_s) - 1
        at = bisect_left(begins_s, begin_s % self.length_s) - NEIGHBOURS // 2 + self.choices[self.asked]
        duration_s = self.durations_s[work.instance][min(max(at, 0), last)]
        return duration_s if work.model == BASE else duration_s * self.parity_ratio


def replay(seen: Seen, policies: Mapping[str, Policy]) -> dict[str, Replayed]:
    """Play the past again under each of some policies.

    Args:
        seen: the past.
        policies: by name, at the beginning of a run.
    """
    start_s = seen.arrivals_s[0]
    squeeze = 1 / (1 + CAUTION / sqrt(seen.sure or len(seen.arrivals_s)))
    shifted = replace(
        seen,
        arrivals_s=array("d", ((at_s - start_s) * squeeze for at_s in seen.arrivals_s)),
        begins_s=array("d", ((at_s - start_s) * squeeze for at_s in seen.begins_s)),
        losses=[
            (instance, (lost_s - start_s) * squeeze, (back_s - start_s) * squeeze)
            for instance, lost_s, back_s in seen.losses
        ],
    )
    return {name: _replay(shifted, policy) for name, policy in policies.items()}


def _replay(seen: Seen, policy: Policy) -> Replayed:
    base_instances = policy.base_instances(seen.all_instances)
    once_s, frontend_of = everyones_arrivals(seen)
    length_s = _length_s(seen)
    again = min(AGAIN, -(-ENOUGH // len(once_s)))
    lead = min(LEAD, len(once_s)) if seen.frontends == 1 else LONG_LEAD
    before = -(-lead // len(once_s))
    rounds = before + again
    first = before * len(once_s) - lead
    arrivals_s = np.concatenate([once_s + turn * length_s for turn in range(rounds)])[first:]
    trace = [
        Disturbance(GONE, instance, lost_s + turn * length_s, back_s + turn * length_s)
        for turn in range(rounds)
        for instance, lost_s, back_s in seen.losses
    ]
    outcome = Outcome(len(arrivals_s))
    policies = [policy] + [deepcopy(policy) for _ in range(seen.frontends - 1)]
    simulate(
        policies, arrivals_s, SeenTimes(seen, length_s=length_s), base_instances, trace=trace,
        frontend_of=np.tile(frontend_of, rounds)[first:], outcome=outcome,
    )  # fmt: skip
    latencies_s = np.sort(np.nan_to_num(outcome.latency_ms[lead:] / 1e3, nan=inf))
    reconstructed = np.count_nonzero(outcome.source[lead:] == AnswerSource.RECONSTRUCTED)
    tasks = outcome.tasks_placed
    share = float(reconstructed / len(latencies_s))
    return Replayed(array("d", latencies_s.tobytes()), tasks / len(arrivals_s), share, played=tasks)


def _length_s(seen: Seen) -> float:
    """How long the past is: to where the next arrival would be expected."""
    last_s = float(seen.arrivals_s[-1])
    return last_s + last_s / max(1, len(seen.arrivals_s) - 1)


def everyones_arrivals(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals at all frontends, ascending, and at which each was.

    Where it is known of the others only how many there are, they have what this one has at another time. A load's
    bursts and pauses are everyone's at about the same time. Where it has none, it is chance that arrivals are close to
    each other, and the others have none close then: they have what this one has as much later as can be.
    """
    own_s = np.asarray(seen.arrivals_s, dtype=np.float64)
    if seen.frontend_of is not None:
        return own_s, np.asarray(seen.frontend_of)
    length_s = _length_s(seen)
    later_s = length_s / len(own_s) * APART if in_bursts(own_s, length_s) else length_s / seen.frontends
    all_s = np.concatenate([(own_s + frontend * later_s) % length_s for frontend in range(seen.frontends)])
    order = np.argsort(all_s, kind="stable")
    return all_s[order], np.repeat(np.arange(seen.frontends), len(own_s))[order]


def in_bursts(arrivals_s: np.ndarray, length_s: float) -> bool:
    """Whether arrivals between 0 and a time vary more than those of a Poisson process, as which counts in windows vary
    by their mean."""
    windows = len(arrivals_s) // WINDOW
    if windows < 2:
        return False
    counts = np.histogram(arrivals_s, windows, (0.0, length_s))[0]
    return bool(counts.var(ddof=1) / counts.mean() > 1 + SIGMAS * sqrt(2 / (windows - 1)))


class TwinInTime:
    """Plays the past again at once, and has the answer when a processor of its own would have had it.

    Args:
        task_s: how long such a processor takes for a task.
    """

    def __init__(self, task_s: float = TASK_S) -> None:
        self.task_s = task_s
        self.ready_s = inf
        self.replayed: dict[str, Replayed] | None = None

    def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
        self.replayed = replay(seen, policies)
        self.ready_s = now_s + self.task_s * sum(one.played for one in self.replayed.values())
        return True

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        if now_s < self.ready_s:
            return None
        replayed, self.replayed, self.ready_s = self.replayed, None, inf
        return replayed
