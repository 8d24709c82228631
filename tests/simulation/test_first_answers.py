"""Answers come at the first moment at which they can, as a plain calculation from what tasks did has it.

The calculation knows nothing of policies: it looks at when tasks ended, and asks what the code has declared.
"""

from collections.abc import Callable
from functools import partial
from math import inf

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity_exp import simulate
from parity_exp.disturbances import Crash, LogNormal, Shuffle, Straggler
from parity_exp.load import Poisson
from parity_exp.policies import Adaptive, Parity, SharedParity
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import BASE, Policy
from parity_exp.scenario import ServingResult

DELAY_MS = 45.0

STRAGGLERS: list[list[Straggler]] = [
    [],
    [Shuffle(transfers=2)],
    [Crash(rate_per_s=4)],
    [Shuffle(), Crash(rate_per_s=4)],
]
POLICIES: list[Callable[..., Policy]] = [
    Parity,
    partial(SharedParity, load_limit=10),
    partial(SharedParity, delay_ms=30, load_limit=10, reserve=0),
    partial(Adaptive, delay_ms=30, copy_limit=0.5, load_limit=10),
]


@st.composite
def declarations(draw: st.DrawFn) -> Needs:
    """What codes may declare: sums, places apart, and whatever lies between."""
    k, r = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    members = [k]
    for _ in range(r):
        members.append(draw(st.integers(0, members[-1])))
    return draw(st.sampled_from([Needs(k, tuple(members)), Needs.one_for_one(k, r), Needs(k, (k, *[0] * r))]))


def simulated(policy: Policy, needs: Needs, seed: int, straggler: list[Straggler], queries: int = 150) -> ServingResult:
    whole_groups = queries // needs.k * needs.k
    return simulate(
        {"policy": policy},
        Poisson(whole_groups, utilisation=0.8),
        code=needs,
        straggler=straggler,
        instances=3,
        service_time=LogNormal(1.0, 0.7),
        seed=seed,
        show_progress=False,
    )


class Ends:
    """When tasks of a simulation ended that were done."""

    def __init__(self, result: ServingResult, needs: Needs) -> None:
        done = result.tasks[result.tasks.outcome == "done"]
        self.needs = needs
        self.own_s = done[done.model == BASE].groupby("batch").finished_s.min()
        self.parities_s = done[done.model != BASE].groupby("group").finished_s.apply(list)

    def own(self, query: int) -> float:
        """When a query's own prediction was there first; infinity for never."""
        return float(self.own_s.get(query, inf))

    def code(self, query: int) -> float:
        """When there was of a query's group what its code needs; infinity for never."""
        k = self.needs.k
        group = query // k
        own_s = [self.own(member) for member in range(group * k, (group + 1) * k)]
        parities_s = self.parities_s.get(group, [])
        for moment_s in sorted([*own_s, *parities_s]):
            there, outputs = (sum(one <= moment_s for one in some) for some in (own_s, parities_s))
            if moment_s < inf and there >= self.needs.members[outputs]:
                return moment_s
        return inf


def expect(query: pd.Series, own_s: float, code_s: float) -> None:
    """A query was answered by whichever came first."""
    assert query.completed_s == pytest.approx(min(own_s, code_s), abs=1e-9)
    assert query.source == ("own" if own_s <= code_s else "reconstructed")


@given(
    needs=declarations(), make=st.sampled_from(POLICIES), straggler=st.sampled_from(STRAGGLERS), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_answer_comes_at_the_first_moment_at_which_it_can(
    needs: Needs, make: Callable[..., Policy], straggler: list[Straggler], seed: int
) -> None:
    result = simulated(make(k=needs.k, r=needs.r), needs, seed, straggler)
    ends = Ends(result, needs)
    for _, query in result.queries.iterrows():
        expect(query, ends.own(query["query"]), ends.code(query["query"]))


@given(needs=declarations(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_who_waits_for_what_is_late_answers_at_the_first_moment_after_that(needs: Needs, seed: int) -> None:
    policy = Parity(needs.k, needs.r, reconstruct="late", delay_ms=DELAY_MS)
    result = simulated(policy, needs, seed, [Shuffle(transfers=2)])
    ends = Ends(result, needs)
    for _, query in result.queries.iterrows():
        late_s = query.scheduled_s + DELAY_MS / 1e3
        expect(query, ends.own(query["query"]), max(late_s, ends.code(query["query"])))


@pytest.mark.parametrize("k", [2, 4])
def test_under_heavy_shuffles_groups_that_lose_up_to_k_predictions_get_them_all_back(k: int) -> None:
    apart, summed = Needs(k, (k, 0)), Needs.one_for_one(k, 1)
    results = {needs: simulated(Parity(k, 1), needs, 0, [Shuffle(transfers=5)], 4_000) for needs in (apart, summed)}
    reconstructed = {
        needs: result.queries[result.queries.source == "reconstructed"] for needs, result in results.items()
    }
    lost = {needs: set(queries.groupby("group").size()) for needs, queries in reconstructed.items()}
    assert lost[summed] == {1}
    assert lost[apart] == set(range(1, k + 1))
    p999 = {needs: result.metrics["simulate/policy/latency_ms/p99.9"] for needs, result in results.items()}
    assert p999[apart] < 0.9 * p999[summed]
