"""Policies do what they did: a fingerprint of all that each of them does in a few worlds.

Times come from a little generator of our own and from no library, so that the fingerprints hold wherever Python does.
Whoever changes on purpose what a policy does takes the new fingerprint over from the message of the failed test, and
says in the change why it does something else.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pytest

from parity_exp.disturbances.trace import KILL, Disturbance
from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    CheckedParity,
    CheckedSharedParity,
    Coded,
    EqualResources,
    Hedged,
    NoRedundancy,
    Parity,
    Replication,
    SharedParity,
    VotedParity,
    VotedReplication,
)
from parity_exp.policies.judge import Judge
from parity_exp.policies.policy import Group, Policy, Work
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.simulation import cluster
from tests.slow_cases import slow_but

QUERIES = 400
SERVICE_S = 0.01
QUERY_COLUMNS = ["latency_ms", "source", "instance", "group"]
TASK_COLUMNS = ["model", "instance", "placed_s", "outcome", "batch", "group"]

MADE: dict[str, tuple[Callable[[int, int], Policy], str]] = {
    "none": (NoRedundancy, "2e92af76c8f9"),
    "equal_resources": (EqualResources, "13ce1312574c"),
    "replication": (Replication, "cabf7fa999a4"),
    "hedged": (Hedged, "a3f51e8634d5"),
    "hedged twice": (lambda k, r: Hedged(k, r, delay_ms=12, copies=2, urgent=True), "0593c69dded8"),
    "approximate_backup": (ApproximateBackup, "5c65c6c13c0f"),
    "parity": (Parity, "d3c49ed7c326"),
    "shared_parity": (SharedParity, "e8ff31a64993"),
    "shared_parity, always": (lambda k, r: SharedParity(k, r, load_limit=10, reserve=0, delay_ms=12), "d49441d6e6ed"),
    "adaptive": (Adaptive, "9e03ddffe44c"),
    "adaptive, copies": (
        lambda k, r: Adaptive(k, r, copy_limit=10, load_limit=10, reserve=0, delay_ms=12),
        "9d9eff04c7ec",
    ),
    "adaptive, parity": (lambda k, r: Adaptive(k, r, copy_limit=0, load_limit=10), "651dbcefd924"),
    "checked_parity": (CheckedParity, "3dc606f34185"),
    "checked_shared_parity": (lambda k, r: CheckedSharedParity(k, r, load_limit=10), "59d5e7adf9bc"),
    "voted_parity": (lambda k, r: VotedParity(k, r + 1, wait_ms=15), "362d494477d1"),
    "voted_replication": (lambda k, r: VotedReplication(k, r, wait_ms=15), "da3e836547cb"),
    "coded": (lambda k, r: Coded(k, r, range(k + 1), k, fill_ms=8), "a7d4b0f6309c"),
}
"""How each policy is made, and its fingerprint."""


@dataclass(frozen=True)
class World:
    """What policies meet; the load is a share of what the base instances can serve."""

    k: int
    r: int
    load: float
    queues: type[Queues]
    batch_size: int = 1
    prefetch: int = 1
    slo_s: float = 10.0
    kills: int = 0
    raises: bool = False


WORLDS = (
    World(2, 1, 0.3, SingleQueue),
    World(3, 2, 0.6, RoundRobin, prefetch=2, kills=6),
    World(2, 1, 0.8, SingleQueue, batch_size=3, raises=True),
    World(4, 1, 1.1, RoundRobin, slo_s=0.1, kills=3),
)
INSTANCES = 5


def shares(seed: int) -> Iterator[float]:
    """Numbers between 0 and 1 that look random (the generator of Park and Miller)."""
    state = 7919 * seed + 1
    while True:
        state = 48271 * state % (2**31 - 1)
        yield state / (2**31 - 1)


class Doubting(Judge):
    """Finds something wrong in some groups and with some copies."""

    def suspects(self, group: Group) -> Collection[int]:
        return () if group.number % 3 else (group.number // 3 % len(group.own),)

    def agree(self, work: Work, other: Work) -> bool:
        return work.number % 5 > 0 and other.number % 5 > 0


def fingerprint(make: Callable[[int, int], Policy], monkeypatch: pytest.MonkeyPatch) -> str:
    digest = hashlib.sha256()
    original = cluster.Desk
    monkeypatch.setattr(cluster, "Desk", lambda *arguments, **more: original(*arguments, Doubting(), **more))
    for number, world in enumerate(WORLDS):
        gaps, durations, chance = shares(3 * number), shares(3 * number + 1), shares(3 * number + 2)
        arrivals_s = [0.0]
        for _ in range(QUERIES - 1):
            arrivals_s.append(arrivals_s[-1] + 2 * next(gaps) * SERVICE_S / world.load / INSTANCES / world.batch_size)

        def takes_s(work: Work, begin_s: float, durations: Iterator[float] = durations) -> float:
            share = next(durations)  # one in twenty takes long, and instance 1 is slow for a while
            slow = 6.0 if work.instance == 1 and 0.2 < begin_s < 0.6 else 1.0
            return slow * SERVICE_S * (0.5 + share if share < 0.95 else 8 * share)

        def raises(work: Work, world: World = world) -> bool:
            return world.raises and (work.number % 13 == 5 or (work.batch is not None and 30 in work.batch.queries))

        kills = [
            Disturbance(KILL, int(next(chance) * INSTANCES), next(chance) * arrivals_s[-1], 0.0)
            for _ in range(world.kills)
        ]
        outcome = cluster.simulate(
            make(world.k, world.r),
            arrivals_s,
            takes_s,
            INSTANCES,
            trace=kills,
            queues=world.queues,
            prefetch=world.prefetch,
            batch_size=world.batch_size,
            window_s=0.003,
            slo_s=world.slo_s,
            raises=raises,
        )
        tables = outcome.queries(0)[QUERY_COLUMNS], outcome.tasks()[TASK_COLUMNS]
        assert len(tables[0]) == QUERIES and len(tables[1]) > QUERIES / 4
        digest.update(repr([table.to_dict("list") for table in tables]).encode())
    return digest.hexdigest()[:12]


@pytest.mark.parametrize("name", slow_but(["none", "parity", "adaptive", "coded"], MADE))
def test_a_policy_does_what_it_did(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = MADE[name]
    assert fingerprint(make, monkeypatch) == expected
