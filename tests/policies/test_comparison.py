"""Ways to go beside each other: the worst tail counts, over all replays of late."""

from collections.abc import Sequence
from math import inf, log

import pytest

from parity_exp.policies.comparison import KEPT, WORTH, Comparison
from parity_exp.policies.estimates.experience import LEVELS, Expected
from parity_exp.policies.replay import Replayed


def flat(latency_s: float, tasks: float = 1.0, reconstructed: float = 0.0, slow_s: Sequence[float] = ()) -> Replayed:
    return Replayed([latency_s] * (10_000 - len(slow_s)) + sorted(slow_s), tasks, reconstructed)


WAYS = {"even": flat(1.25, 2.0, slow_s=[4.0] * 20), "lopsided": flat(1.0, 1.0, 0.2, [8.0] * 20)}


@pytest.mark.parametrize(
    ("percentiles", "task_cost", "reconstruction_cost", "even", "lopsided"),
    [
        ([98.0, 99.9], 0.0, 0.0, 1.25, 2.0),
        ([98.0], 0.0, 0.0, 1.25, 1.0),
        ([98.0], 0.5, 0.0, 1.75, 1.0),
        ([98.0], 0.0, 3.0, 1.25, 1.6),
    ],
)
def test_the_worst_of_the_percentiles_counts_and_what_was_paid_is_added(
    percentiles: list[float], task_cost: float, reconstruction_cost: float, even: float, lopsided: float
) -> None:
    comparison = Comparison(percentiles, task_cost, reconstruction_cost)
    comparison.learn(WAYS, 10_000)
    assert comparison.costs == pytest.approx({"even": even, "lopsided": lopsided}, rel=0.01)


def test_earlier_replays_count_less_and_those_of_many_arrivals_more() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.learn({"a": flat(1.0), "b": flat(2.0)}, 1_000)
    comparison.learn({"a": flat(1.0), "b": flat(4.0)}, 2_000)
    weight = 1_000 * KEPT / (1_000 * KEPT + 2_000)
    assert comparison.arrivals == pytest.approx(1_000 * KEPT + 2_000)
    assert comparison.costs == pytest.approx({"a": 1.0, "b": 2.0**weight * 4.0 ** (1 - weight)})


def test_a_replay_may_have_less_weight() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.learn({"a": flat(1.0), "b": flat(2.0)}, 1_000)
    comparison.learn({"a": flat(1.0), "b": flat(4.0)}, 4_000, 0.1)
    assert comparison.arrivals == pytest.approx(1_000 * KEPT + 400)
    assert comparison.costs["b"] == pytest.approx(2.0 ** (7 / 11) * 4.0 ** (4 / 11))


def test_what_chance_made_worst_once_at_each_percentile_does_not_add_up() -> None:
    comparison = Comparison([98.0, 99.9], 0.0, 0.0)
    comparison.learn({"a": flat(1.0), "b": flat(1.0, slow_s=[1.5] * 20)}, 10_000)
    comparison.learn({"a": flat(1.0, slow_s=[1.5] * 20), "b": flat(1.0)}, 10_000)
    assert max(comparison.costs.values()) < 1.5**0.6


def test_nothing_is_known_of_what_has_been_forgotten() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.learn({"a": flat(1.0), "b": flat(2.0)}, 1_000)
    comparison.forget()
    assert comparison.costs == {} and comparison.arrivals == 0
    comparison.learn({"a": flat(3.0), "b": flat(1.0)}, 500)
    assert comparison.costs == pytest.approx({"a": 3.0, "b": 1.0})


def expected(ratio: float, tasks: float = 1.0, reconstructed: float = 0.0) -> Expected:
    return Expected((log(ratio),) * len(LEVELS), tasks, reconstructed)


def test_what_is_expected_decides_between_ways_that_few_arrivals_hardly_tell_apart() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.expect({"usual": expected(1.0), "risky": expected(1.5)})
    assert comparison.costs == pytest.approx({"usual": 1.0, "risky": 1.5})
    played = {"usual": flat(1.04), "risky": flat(1.0)}
    comparison.learn(played, round(100 * WORTH))
    assert comparison.costs == pytest.approx({"usual": 1.04**0.5, "risky": 1.5**0.5})
    for _ in range(10):
        comparison.learn(played, 40_000)
    assert comparison.costs["risky"] < comparison.costs["usual"], "many do"
    comparison.forget()
    assert comparison.costs == pytest.approx({"usual": 1.0, "risky": 1.5})


def test_the_rarer_latencies_are_the_longer_counts_what_is_expected() -> None:
    far, near = Comparison([99.9], 0.0, 0.0), Comparison([99.0], 0.0, 0.0)
    for comparison in (far, near):
        comparison.expect({"a": expected(1.0), "b": expected(2.0)})
        comparison.learn({"a": flat(1.0), "b": flat(1.0)}, 4_000)
    assert far.costs["b"] == pytest.approx(2 ** (1_000 * WORTH / (1_000 * WORTH + 4_000)))
    assert near.costs["b"] == pytest.approx(2 ** (100 * WORTH / (100 * WORTH + 4_000)))


def test_of_clusters_like_no_other_hardly_anything_is_expected() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.expect({"a": expected(1.0), "b": expected(2.0)}, sure=0.01)
    comparison.learn({"a": flat(1.0), "b": flat(1.0)}, 1_000)
    assert comparison.costs["b"] < 1.01


def test_before_anything_is_played_what_ways_cost_is_as_expected_and_then_as_played() -> None:
    comparison = Comparison([99.0], 0.1, 1.0)
    comparison.expect({"a": expected(1.0, tasks=2.0), "b": expected(1.0, reconstructed=0.3)})
    assert comparison.costs == pytest.approx({"a": 1.1, "b": 1.3})
    comparison.learn({"a": flat(1.0, tasks=1.5)}, 1_000)
    assert comparison.costs == pytest.approx({"a": 1.05, "b": 1.3})


def test_what_is_not_played_again_loses_weight() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.expect({"a": expected(1.0), "b": expected(1.0)})
    comparison.learn({"a": flat(1.0), "b": flat(2.0)}, 4_000)
    before = comparison.costs["b"]
    for _ in range(5):
        comparison.learn({"a": flat(1.0)}, 4_000)
    assert 1.0 < comparison.costs["b"] < before**0.5


def test_a_replay_without_answers_does_not_count_for_ever() -> None:
    comparison = Comparison([99.0], 0.0, 0.0)
    comparison.learn({"a": flat(inf)}, 1_000)
    assert comparison.costs == {"a": 1.0}, "where nobody answers all are alike"
    comparison.learn({"a": flat(1.0), "b": flat(inf)}, 1_000)
    for _ in range(20):
        comparison.learn({"a": flat(1.0), "b": flat(1.0)}, 1_000)
    assert comparison.costs["b"] == pytest.approx(1.0, abs=0.05)


def test_what_happens_six_times_in_four_thousand_arrivals_is_seen_at_the_last_percentile() -> None:
    rare = Replayed([1.0] * 3_994 + [4.0] * 6, 1.0, 0.0)
    comparison = Comparison([99.0, 99.9], 0.0, 0.0)
    comparison.learn({"hedging": Replayed([1.0] * 3_994 + [2.0] * 6, 1.0, 0.0), "nothing": rare}, 4_000)
    assert comparison.costs["nothing"] > 1.2
    assert rare.percentile_s(99.75) == 1.0, "as the percentile that ten exceed does not"


def test_a_tail_of_few_arrivals_is_the_ten_slowest() -> None:
    tail_s = Replayed([1.0] * 490 + [2.0] * 10, 1.0, 0.0).tail_s
    assert tail_s(99.9, 500) == pytest.approx(2.0)
    assert tail_s(99.0, 500) == pytest.approx(2.0)
    assert tail_s(50.0, 500) < 1.1
    assert Replayed([1.0] * 490 + [2.0] * 10, 1.0, 0.0).tail_s(99.9, 250) < 1.5, "played twice, they are five"
    assert Replayed([1.0] * 9 + [inf], 1.0, 0.0).tail_s(99.9, 10) == inf


def test_a_tail_of_many_arrivals_is_around_its_percentile() -> None:
    replayed = Replayed([1.0] * 99_800 + [2.0] * 150 + [100.0] * 25 + [1e6] * 25, 1.0, 0.0)
    assert 2.0 < replayed.tail_s(99.9, 100_000) < 4.0, "the very slowest do not count"
    assert replayed.tail_s(99.0, 100_000) < 1.2


def test_what_several_know_together_is_what_one_would_who_had_played_everything() -> None:
    ways = ["usual", "risky"]
    everything, nobody = Comparison([99.0, 99.9], 0.5, 0.0), Comparison([99.0, 99.9], 0.5, 0.0)
    some = [Comparison([99.0, 99.9], 0.5, 0.0) for _ in range(3)]
    for one in (everything, *some[:2]):
        one.expect({"usual": expected(1.0), "risky": expected(1.5)}, 0.5)
    some[2].expect({"usual": expected(1.0), "risky": expected(1.5)}, 0.5)
    for one, slow_s in zip(some[:2], (1.5, 3.0), strict=True):
        one.learn({"usual": flat(1.0, 2.0), "risky": flat(1.0, slow_s=[slow_s] * 20)}, 2_000, 0.5)
    everything.learn({"usual": flat(1.0, 2.0), "risky": flat(1.0, slow_s=[(1.5 * 3.0) ** 0.5] * 20)}, 2_000)
    together = nobody.together([one.note(ways) for one in some], ways)
    assert together.costs == pytest.approx(everything.costs)
    assert nobody.together([nobody.note(ways)], ways).costs == {}


def test_of_what_was_only_expected_the_mean_is_taken() -> None:
    some = [Comparison([99.0], 0.0, 0.0) for _ in range(2)]
    some[0].expect({"a": expected(1.0), "b": expected(1.2)})
    some[1].expect({"a": expected(1.2), "b": expected(1.2)})
    ways = ["a", "b", "c"]
    costs = some[0].together([one.note(ways) for one in some], ways).costs
    assert costs == pytest.approx({"a": 1.2**0.5, "b": 1.2})
