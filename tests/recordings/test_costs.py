"""What answering costs is counted by one definition, whoever drives the policy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from parity_exp.coding import AdditionEncoder, BerrutCode, Chebyshev, Code, SubtractionDecoder
from parity_exp.policies import Coded, EqualResources, Hedged, NoRedundancy, Parity, Replication, SharedParity
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import Policy
from parity_exp.recordings.costs import Given
from parity_exp.recordings.recorder import Recorder
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.group_coder import GroupCoder, ParityGroupCoder, WholeGroupCoder
from parity_exp.simulation import Outcome, simulate
from parity_exp.tasks import Classification
from tests.serving.direct_pool import DirectPool

QUERIES = 400
POLICIES: dict[str, Callable[[], Policy]] = {
    "none": lambda: NoRedundancy(2, 1),
    "equal_resources": lambda: EqualResources(2, 1),
    "replication": lambda: Replication(2, 1),
    "hedged": lambda: Hedged(2, 1, delay_ms=0),
    "parity": lambda: Parity(2, 1),
    "shared_parity": lambda: SharedParity(2, 1),
    "coded": lambda: Coded(2, 1, range(3), 2),
}


def coder_of(policy: Policy) -> GroupCoder | None:
    if isinstance(policy, Coded):
        return WholeGroupCoder(BerrutCode(2, workers=3, stragglers=1), 1)
    if not policy.uses_groups:
        return None
    k, r, shape = policy.k, policy.r, (4,)
    matrix = Chebyshev().matrix(k, r)
    return ParityGroupCoder(Code(AdditionEncoder(k, r, shape, matrix), SubtractionDecoder(k, r, shape, matrix)), 1)


def served(policy: Policy) -> Frontend:
    task = Classification(tuple("abcd"))
    recorder = Recorder(QUERIES, 0, task)
    workload = Workload(
        torch.eye(4), torch.arange(4), np.arange(QUERIES) % 4, np.arange(QUERIES) * 1e-4, None, task, torch.zeros(4)
    )
    frontend = Frontend(DirectPool(lambda queries: queries), Desk(policy, 4), coder_of(policy), workload, recorder)
    frontend.run()
    assert recorder.lost == 0
    return frontend


def simulated(policy: Policy) -> Outcome:
    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(0.004, QUERIES))
    times_s = iter(np.random.default_rng(1).exponential(0.01, 10 * QUERIES).tolist())
    return simulate(policy, arrivals_s, lambda _, __: next(times_s), base_instances=4)


@pytest.mark.parametrize("name", POLICIES)
def test_serving_and_simulation_count_alike(name: str) -> None:
    frontend, outcome = served(POLICIES[name]()), simulated(POLICIES[name]())
    for costs, answered in ((frontend.metrics(), QUERIES), (outcome.costs(), QUERIES)):
        given = round(costs["tasks_per_query"] * answered)
        if name in ("parity", "shared_parity"):  # a query may be rebuilt before an instance was given it
            assert given - answered <= costs["extra_queries"] <= given
        else:
            assert costs["extra_queries"] == given - answered
        assert (costs["parity_queries"] > 0) == (name in ("parity", "coded")) or name == "shared_parity"
    if name == "coded":
        assert 0 < outcome.costs()["extra_queries"] <= QUERIES / 2 < outcome.costs()["parity_queries"]


def test_coded_queries_are_extra_as_far_as_they_are_more_than_queries() -> None:
    assert Given(0, parity=600).costs(400, instead=True)["extra_queries"] == 200
    assert Given(20, parity=569).costs(400, instead=True)["extra_queries"] == 189
    assert Given(400, parity=200, repeated=7).costs(400, instead=False)["extra_queries"] == 207


def test_defaults_before_anything_was_sent_make_nothing_negative() -> None:
    assert Given().costs(0, instead=False) == {"parity_queries": 0, "tasks_per_query": 0, "extra_queries": 0}
    assert Given(3, parity=2).costs(9, instead=True)["extra_queries"] == 0
