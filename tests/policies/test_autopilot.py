"""The policy that plays its past again: which way it takes, and that taking another one loses nothing."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from parity_exp.disturbances import Exponential
from parity_exp.disturbances.trace import KILL, SLOW, Disturbance, timelines
from parity_exp.policies import Adaptive, Autopilot, autopilot, comparison
from parity_exp.policies.autopilot import BEGINS, WAYS, WAYS_OF_SEVERAL, room_for_parity
from parity_exp.policies.comparison import Comparison
from parity_exp.policies.estimates.experience import LEVELS, Expected
from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.estimates.traits import TRAITS
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import AnswerSource, Policy
from parity_exp.policies.queues import Board
from parity_exp.policies.replay import Replayed
from parity_exp.policies.shared_parity import LOAD_LIMIT
from parity_exp.simulation.cluster import simulate
from parity_exp.simulation.random_times import ServiceTimes

unexperienced = partial(Autopilot, experienced=False)
"""Knows nothing but what a replay tells it."""


def outcome(latency_s: float, tasks: float = 1.0, reconstructed: float = 0.0) -> Replayed:
    return Replayed([latency_s] * 100, tasks, reconstructed)


class Told:
    """A replay whose answers a test gives: at each turn one way is the best, by so much."""

    def __init__(self, best: Sequence[str], others: float = 2.0) -> None:
        self.best = cycle(best)
        self.others = others
        self.asked: list[Seen] = []
        self.policies: list[Mapping[str, Policy]] = []
        self.open = False

    def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
        self.asked.append(seen)
        self.policies.append(policies)
        self.open = True
        return True

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        if not self.open:
            return None
        self.open = False
        best = next(self.best)
        return {way: outcome(1.0 if way == best else self.others) for way in self.policies[-1]}


def served(policy: Autopilot, arrivals: int = 3_000, rate_qps: float = 60.0, trace: Sequence[Disturbance] = ()):  # type: ignore[no-untyped-def]
    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(1 / rate_qps, arrivals))
    times = {"base": Exponential(0.03), "parity-0": Exponential(0.03)}
    return simulate(policy, arrivals_s, ServiceTimes(times, timelines(list(trace), 6), 0), 4, trace=trace)


def test_it_begins_with_the_thresholds_and_takes_what_the_past_says() -> None:
    policy = unexperienced(2, 1)
    policy.replay = Told(["copies"])
    result = served(policy)
    assert [way for _, way in policy.turns] == ["thresholds", "copies"]
    assert policy.driven.has_room_for_copies
    assert result.lost == 0 and result.duplicates == 0


def test_one_way_after_the_other_loses_nothing_and_answers_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "LOOK": 1,
        "FIRST": 2,
        "RARELY": 3,
        "REST_S": 0.0,
        "SURE": 1e9,
        "DOUBT": 0.0,
    }.items():
        monkeypatch.setattr(autopilot, name, value)
    monkeypatch.setattr(comparison, "KEPT", 0.0)
    policy = unexperienced(2, 1, ways=WAYS_OF_SEVERAL)
    policy.replay = Told(list(WAYS_OF_SEVERAL))
    trace = [Disturbance(SLOW, one, at, at + 3.0, 5.0) for one, at in ((0, 5.0), (1, 12.0), (2, 20.0), (4, 21.0))]
    trace += [Disturbance(KILL, one, at, at) for one, at in ((0, 10.0), (3, 15.0), (5, 30.0))]
    result = served(policy, trace=trace)
    assert len(policy.turns) > 500 and {way for _, way in policy.turns} == set(WAYS_OF_SEVERAL)
    assert result.lost == 0 and result.duplicates == 0
    assert np.isfinite(result.latency_ms).all()
    assert (result.source == AnswerSource.RECONSTRUCTED).any()


@pytest.mark.parametrize(("frontends", "ways"), [(1, WAYS), (2, WAYS_OF_SEVERAL)])
def test_several_frontends_may_keep_parity_apart(frontends: int, ways: Mapping[str, Any]) -> None:
    policies = [Autopilot(2, 1) for _ in range(frontends)]
    told = [Told(["parity"]) for _ in policies]
    for policy, replay in zip(policies, told, strict=True):
        policy.replay = replay
    simulate(policies, np.arange(3_000) * 0.02, lambda _, __: 0.03, 4)
    assert set().union(*told[0].policies) <= ways.keys()
    assert policies[0].comparison.costs.keys() == ways.keys()


def frontends(told: Sequence[str], **settings: Any) -> list[Autopilot]:
    """One for each way that its replays will say is the best."""
    policies = [Autopilot(2, 1, **settings) for _ in told]
    for policy, best in zip(policies, told, strict=True):
        policy.replay = Told([best], others=1.3 if best == "copies" else 2.0)
    return policies


def test_frontends_go_the_way_that_is_best_by_what_all_have_seen() -> None:
    policies = frontends(["copies", "hedging", "hedging"], experienced=False)
    simulate(policies, np.arange(6_000) * 0.01, lambda _, __: 0.02, 4)
    assert {policy.way for policy in policies} == {"hedging"}
    policies = frontends(["copies", "hedging", "hedging"], experienced=False, tells=False)
    simulate(policies, np.arange(6_000) * 0.01, lambda _, __: 0.02, 4)
    assert [policy.way for policy in policies] == ["copies", "hedging", "hedging"]


def test_frontends_tell_each_other_what_they_see_and_take_turns_to_play_it() -> None:
    policies = frontends(["hedging"] * 3, experienced=False)
    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(0.01, 12_000))
    simulate(policies, arrivals_s, lambda _, __: 0.02, 4, frontend_of=np.random.default_rng(1).integers(0, 3, 12_000))
    known = [policy.memory.arrivals for policy in policies]
    assert min(known) > 12_000 - 3 * 3 * autopilot.LOOK
    asked = [policy.replay.asked for policy in policies]  # type: ignore[attr-defined]
    ends_s = sorted(seen.arrivals_s[-1] for of_one in asked for seen in of_one)
    expected = [400, 800, 1600, 3200, 6400, 10_400]
    assert np.searchsorted(arrivals_s, ends_s) == pytest.approx(expected, rel=0.15)
    assert [len(of_one) for of_one in asked] == [2, 2, 2]
    assert set(asked[0][1].frontend_of or ()) == {0, 1, 2}


def test_who_has_not_noticed_a_change_goes_by_those_who_have_until_everybody_must_have() -> None:
    def note(policy: Autopilot, since_s: float, best: str) -> list[float]:
        comparison = Comparison(policy.percentiles, 0.0, 0.0)
        comparison.learn({way: outcome(1.0 if way == best else 1.5) for way in policy.ways}, 1_000)
        return [since_s, 1.0, *comparison.note(policy.ways)]

    policy, _ = policies = frontends(["copies", "copies"], experienced=False)
    simulate(policies, np.arange(4_000) * 0.01, lambda _, __: 0.02, 4)
    now_s = policy.memory.arrivals_s[-1]
    for own_ago_s, others_ago_s, both in ((2.5, 1.0, True), (40.0, 5.0, False), (40.0, 20.0, True)):
        board = policy.actions.board = Board(6, 2)  # type: ignore[attr-defined]
        board.leave_note(0, note(policy, now_s - own_ago_s, "copies"))
        board.leave_note(1, note(policy, now_s - others_ago_s, "hedging"))
        policy._take_best(now_s)
        costs = policy.known.costs
        if both:
            assert costs["copies"] == pytest.approx(costs["hedging"])
        else:
            assert costs["hedging"] < costs["copies"] and policy.way == "hedging"


def test_a_way_that_is_hardly_better_is_not_taken() -> None:
    policy = unexperienced(2, 1)
    policy.replay = Told(["copies"], others=1.02)
    served(policy)
    assert policy.way == "thresholds"


def test_after_a_change_of_the_load_the_past_is_played_at_the_new_rate_at_once() -> None:
    policy = unexperienced(2, 1)
    told = policy.replay = Told(["parity"])
    arrivals_s = np.concatenate([np.arange(4_000) * 0.02, 80 + np.arange(2_000) * 0.008])
    simulate(policy, arrivals_s, lambda _, __: 0.01, 4)
    before = [seen for seen in told.asked if seen.arrivals_s[-1] < 80]
    after = [seen for seen in told.asked if seen.arrivals_s[-1] >= 80]
    assert len(before) >= 2 and len(after) >= 2
    assert after[0].arrivals_s[-1] < 80 + 2, "and soon"
    assert after[0].sure < 200 and len(after[0].arrivals_s) == 2_000, "much of it, though the rate is known from few"
    for seen in after[1:]:
        gaps_s = np.diff(seen.arrivals_s)
        assert np.mean(abs(gaps_s - 0.008) < 4e-4) > 0.98, "but for those while it was being noticed"


def test_a_new_rate_that_few_arrivals_have_shown_decides_only_what_is_clear() -> None:
    arrivals_s = np.concatenate([np.arange(4_000) * 0.02, 80 + np.arange(120) * 0.008])
    for others, way in ((1.1, "thresholds"), (2.0, "parity")):
        policy = unexperienced(2, 1)
        told = policy.replay = Told(["copies"] * 4 + ["parity"], others)
        simulate(policy, arrivals_s, lambda _, __: 0.01, 4)
        assert len(told.asked) == 5 and 0 < told.asked[4].sure < 100
        assert policy.way == way


@pytest.mark.parametrize("way", ["copies", "parity"])
def test_when_the_load_changes_nobody_copies_everything_until_that_has_been_played(way: str) -> None:
    class Once(Told):
        def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
            return now_s < 80 and super().ask(seen, policies, now_s)

    policy = unexperienced(2, 1)
    policy.replay = Once([way])
    simulate(policy, np.concatenate([np.arange(4_000) * 0.02, 80 + np.arange(120) * 0.002]), lambda _, __: 0.01, 4)
    assert policy.memory.before and policy.way == ("thresholds" if way == "copies" else way)
    assert policy.driven.busyness.share > 0.4, "where the mean of a thousand arrivals says a tenth"


def test_what_was_being_played_when_the_load_changed_is_not_learnt_from() -> None:
    class Slow(Told):
        def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
            self.ready_s = now_s + 8.0
            return super().ask(seen, policies, now_s)

        def answer(self, now_s: float) -> dict[str, Replayed] | None:
            return super().answer(now_s) if now_s >= self.ready_s else None

    arrivals_s = np.concatenate([np.arange(500) * 0.02, 10 + np.arange(1_000) * 0.005])  # first played after 8 s
    ways = {}
    for name, rate in {"changed": arrivals_s, "steady": np.arange(1_500) * 0.02}.items():
        policy = unexperienced(2, 1)
        policy.replay = Slow(["copies", "parity", "parity", "parity"])
        simulate(policy, rate, lambda _, __: 0.01, 4)
        ways[name] = [way for _, way in policy.turns]
    assert ways["steady"][1] == "copies" and "copies" not in ways["changed"]


def test_when_tasks_become_slow_the_past_is_played_soon_and_without_what_was_before() -> None:
    policy = unexperienced(2, 1)
    told = policy.replay = Told(["parity"])
    chance = np.random.default_rng(0)
    late_s = 100.0
    simulate(
        policy,
        np.arange(8_000) * 0.02,
        lambda _, begin_s: 0.1 if begin_s > late_s and chance.random() < 0.2 else 0.01,
        4,
    )
    first = next(seen for seen in told.asked if seen.arrivals_s[-1] > late_s)
    assert late_s < first.arrivals_s[-1] < late_s + 15 and first.arrivals_s[0] > late_s - 5, "50 queries a second"


class Known:
    """Experience that says what to expect by how busy the instances are."""

    def __init__(self, sure: float = 1.0) -> None:
        self.sure = sure
        self.busy: list[float] = []

    def expects(self, traits: np.ndarray) -> tuple[dict[str, Expected], float]:
        self.busy.append(traits[TRAITS.index("busy")])
        best = "copies" if self.busy[-1] < 0.4 else "parity"
        return {way: Expected((float(way != best),) * len(LEVELS), 1.0, 0.0) for way in WAYS}, self.sure


def test_before_anything_is_played_it_does_what_was_best_on_clusters_like_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Known()
    monkeypatch.setattr(autopilot, "experience", lambda: known)
    policy = Autopilot(2, 1)
    policy.replay = Told(["hedging"])
    served(policy, 300)
    assert [way for _, way in policy.turns] == [BEGINS, "copies"]
    assert policy.turns[1][0] == pytest.approx(100 / 60, rel=0.3), "after a hundred arrivals at 60 a second"
    assert len(known.busy) == sum(arrivals <= 300 for arrivals in autopilot.EARLY)


def test_several_frontends_take_the_best_way_after_as_many_arrivals_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autopilot, "experience", Known)
    policies = [Autopilot(2, 1) for _ in range(4)]
    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(1 / 60, 300))
    simulate(policies, arrivals_s, lambda _, __: 0.03, 4)
    assert {policy.way for policy in policies} == {"copies"}


def test_after_a_change_of_the_load_it_does_what_is_best_at_the_new_rate_before_that_is_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Known()
    monkeypatch.setattr(autopilot, "experience", lambda: known)

    class Once(Told):
        def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
            return now_s < 80 and super().ask(seen, policies, now_s)

    policy = Autopilot(2, 1)
    policy.replay = Once(["copies"])
    simulate(policy, np.concatenate([np.arange(4_000) * 0.02, 80 + np.arange(400) * 0.003]), lambda _, __: 0.01, 4)
    assert [way for _, way in policy.turns] == [BEGINS, "copies", "parity"]
    assert 80 < policy.turns[-1][0] < 80.4
    assert known.busy[-1] == pytest.approx(0.01 / 0.003 / 6, rel=0.1)


def test_what_is_played_outweighs_what_is_expected_the_sooner_the_less_is_known_of_such_clusters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = {}
    for sure in (1.0, 0.01):
        monkeypatch.setattr(autopilot, "experience", lambda sure=sure: Known(sure))
        policy = Autopilot(2, 1)
        policy.replay = Told(["hedging"])
        served(policy, 1_000)
        ways[sure] = policy.way
    assert ways == {1.0: "copies", 0.01: "hedging"}


def test_it_may_go_by_experience_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known()
    monkeypatch.setattr(autopilot, "experience", lambda: known)
    policy = Autopilot(2, 1, plays=False)
    assert not policy.needs_replay
    served(policy, 10_000)
    assert [way for _, way in policy.turns] == [BEGINS, "copies"]
    assert len(known.busy) == len(autopilot.EARLY) + 3, "and now and then again"


@pytest.mark.parametrize("settings", [{"experienced": False}, {"ways": WAYS}])
def test_something_has_to_tell_which_way_to_go(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="plays=False: expected experienced=True and no ways"):
        Autopilot(2, 1, plays=False, **settings)


def test_ways_of_ones_own_are_not_expected_to_be_like_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(autopilot, "experience")
    policy = Autopilot(2, 1, ways=WAYS)
    policy.replay = Told(["parity"])
    served(policy, 1_000)
    assert policy.way == "parity"


def test_the_more_instances_there_are_the_longer_there_is_room_for_parity() -> None:
    limits = [room_for_parity(instances, 2, 1) for instances in (6, 36, 144)]
    assert limits == sorted(limits) and limits[0] == LOAD_LIMIT and limits[-1] < 1 / 1.5
    assert room_for_parity(144, 2, 2) <= max(LOAD_LIMIT, 0.5)
    policy = unexperienced(2, 1)
    policy.replay = Told(["parity"])
    simulate(policy, np.arange(10) * 0.01, lambda _, __: 0.01, 96)
    assert policy.driven.load_limit == limits[-1]
    given = Autopilot(2, 1, ways={"mine": {"load_limit": 0.4}})
    given.replay = Told(["mine"])
    simulate(given, np.arange(10) * 0.01, lambda _, __: 0.01, 96)
    assert given.driven.load_limit == 0.4


def test_a_way_that_does_nothing_about_late_tasks_has_to_be_clearly_better() -> None:
    policy = Autopilot(2, 1, ways={"hedging": {}, "nothing": {"hedges": False}})
    policy.replay = Told(["nothing"], others=1.04)
    served(policy, 14_000)
    assert policy.way == "hedging"
    policy.replay = Told(["nothing"], others=1.1)
    served(policy, 14_000)
    assert policy.way == "nothing"


def test_the_past_is_played_less_and_less_often_but_often_enough_to_see_changes() -> None:
    policy = unexperienced(2, 1)
    told = policy.replay = Told(["parity"])
    served(policy, 14_000)
    gaps = np.diff([seen.arrivals_s[-1] for seen in told.asked]) * 60  # in arrivals
    assert gaps[:4] == pytest.approx([400, 800, 1_600, 3_200], rel=0.1)
    assert gaps[4:] == pytest.approx([autopilot.RARELY] * len(gaps[4:]), rel=0.1) and len(gaps) >= 5


def test_where_much_arrives_replays_are_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autopilot, "RARELY", 800)
    monkeypatch.setattr(autopilot, "REST_S", 1.0)
    policy = unexperienced(2, 1)
    told = policy.replay = Told(["parity"])
    simulate(policy, np.arange(7_000) * 0.0005, lambda _, __: 0.002, 4)
    at_s = [seen.arrivals_s[-1] for seen in told.asked]
    assert at_s[0] < 0.3
    assert np.diff(at_s[-2:]) == pytest.approx([1.0], abs=0.1)


def test_several_frontends_learn_from_fewer_arrivals_of_their_own() -> None:
    policies = [unexperienced(2, 1) for _ in range(4)]
    for policy in policies:
        policy.replay = Told(["parity"])
    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(1 / 60, 1_000))
    simulate(policies, arrivals_s, lambda _, __: 0.03, 4)
    assert {policy.way for policy in policies} == {"parity"}


def test_ways_that_have_been_much_worse_are_played_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FIRST": 100, "RARELY": 200, "SURE": 500, "REST_S": 0.0}.items():
        monkeypatch.setattr(autopilot, name, value)
    policy = unexperienced(2, 1)
    told = policy.replay = Told(["parity"])
    served(policy, 3_000)
    played = [set(policies) for policies in told.policies]
    assert played[:2] == [set(WAYS)] * 2, "as long as little is known"
    late = played[4:]
    assert {"parity"} in late and set(WAYS) in late
    assert late.count({"parity"}) >= 2 * late.count(set(WAYS))


def test_whoever_plays_the_past_again_has_the_codes_declaration_too() -> None:
    policy = Autopilot(3, 1)
    policy.decodes_by(Needs(3, (3, 0)))
    told = policy.replay = Told(["parity"])
    served(policy, 800)
    assert all(one.needs is policy.needs for one in (policy.driven, *told.policies[-1].values()))


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({}, "ways: expected one at least"),
        ({"mine": {"load_limits": 1}}, "ways: mine: .*load_limits"),
        ({"mine": {"copies": 0}}, "ways: mine: copies=0: expected 1 or more"),
    ],
)
def test_ways_that_cannot_be_are_named(ways: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Autopilot(2, 1, ways=ways)


def test_own_ways_are_taken() -> None:
    policy = Autopilot(2, 1, ways={"mine": {"margin": 2.0}, "yours": {"hedges": False}})
    policy.replay = Told(["yours"])
    served(policy)
    assert policy.way == "yours" and isinstance(policy.driven, Adaptive) and not policy.driven.hedges


def test_accuracy_is_worth_what_is_said() -> None:
    policy = Autopilot(2, 1, point_cost=0.02, accuracy=[0.9, 0.8], reconstruction_cost=0.1)
    assert policy.reconstruction_cost == pytest.approx(0.1 + 10 * 0.02)
    assert Autopilot(2, 1, point_cost=0.02).reconstruction_cost == 0, "nothing is known of accuracies"
    replayed = {"parity": outcome(1.0, reconstructed=0.25), "hedging": outcome(1.06)}
    compared = Comparison([99.0], 0.0, policy.reconstruction_cost)
    compared.learn(replayed, 100)
    costs = compared.costs
    assert min(costs, key=lambda way: costs[way]) == "hedging", "a quarter of 30 % is more than 6 %"
