"""What a cluster is like, in numbers."""

from array import array
from dataclasses import replace

import numpy as np
import pytest

from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.estimates.traits import TRAITS, traits_of


def seen(arrivals_s: np.ndarray, on: np.ndarray, durations_s: np.ndarray, instances: int = 8) -> Seen:
    begins_s = arrivals_s[: len(durations_s)]
    return Seen(array("d", arrivals_s), array("l", on), array("d", begins_s), array("d", durations_s), 1.0, instances)


def steady(arrivals: int = 2_000, rate_qps: float = 100.0, slow: int = -1) -> Seen:
    """Arrivals by chance, which eight instances take by turns; one of them may take five times as long."""
    random = np.random.default_rng(0)
    on = np.arange(arrivals) % 8
    durations_s = 0.02 * random.uniform(0.9, 1.1, arrivals) * np.where(on == slow, 5, 1)
    return seen(np.cumsum(random.exponential(1 / rate_qps, arrivals)), on, durations_s)


def told(past: Seen, k: int = 2, r: int = 1) -> dict[str, float]:
    return dict(zip(TRAITS, traits_of(past, k, r), strict=True))


def test_how_busy_instances_are_and_what_room_that_leaves() -> None:
    traits = told(steady())
    assert traits["busy"] == pytest.approx(100 * 0.02 / 8, rel=0.05)
    assert traits["busy_usually"] == pytest.approx(traits["busy"], rel=0.05)
    assert traits["room"] == pytest.approx((1 - traits["busy"]) * 8**0.5)
    assert traits["room"] > traits["room_for_parity"] > traits["room_for_copies"]
    everywhere = told(replace(steady(), frontends=2))
    assert everywhere["busy"] == pytest.approx(2 * traits["busy"])


def test_one_slow_instance_sets_instances_apart_and_slow_tasks_by_chance_do_not() -> None:
    alike, one = told(steady()), told(steady(slow=3))
    assert alike["late"] == 0 and one["late"] == pytest.approx((1 / 8) ** 0.5, rel=0.05)
    assert one["apart"] > 4 and one["together"] > 0.95
    past = steady()
    chance = np.asarray(past.durations_s) * np.where(np.random.default_rng(1).random(2_000) < 1 / 8, 5, 1)
    by_chance = told(replace(past, durations_s=array("d", chance)))
    assert by_chance["late"] == pytest.approx(one["late"], rel=0.2)
    assert by_chance["apart"] < 1 and by_chance["together"] < 0.3


def test_bursts_are_crowded_and_evenly_spaced_arrivals_are_not() -> None:
    past = steady()
    even = replace(past, arrivals_s=array("d", np.arange(2_000) * 0.01))
    arrivals_s = np.asarray(past.arrivals_s)
    bursts = replace(past, arrivals_s=array("d", arrivals_s + np.floor(arrivals_s / 3) * 5))
    assert told(even)["crowded"] < told(past)["crowded"] < told(bursts)["crowded"]
    assert told(even)["crowded_longer"] < told(past)["crowded_longer"] < told(bursts)["crowded_longer"]


def test_at_the_peak_of_a_burst_there_is_less_room_than_in_the_mean() -> None:
    past = steady()
    on_s = np.asarray(past.arrivals_s) / 2
    bursts = replace(past, arrivals_s=array("d", on_s + np.floor(on_s / 3) * 3))  # on for three seconds, off for three
    by_chance, peak = told(past), told(bursts)
    assert peak["busy"] == pytest.approx(by_chance["busy"], rel=0.2)
    assert 1.6 < peak["busy_at_peak"] / by_chance["busy_at_peak"] < 2.4
    assert peak["room_at_peak"] == pytest.approx((1 - peak["busy_at_peak"]) * 8**0.5)
    assert peak["room_at_peak"] > peak["room_for_parity_at_peak"] > peak["room_for_copies_at_peak"]
    assert peak["uneven"] > by_chance["uneven"] + 0.5
    assert peak["pause"] == pytest.approx(np.log(3 / 0.02), abs=0.3)


def test_traits_do_not_depend_on_how_long_a_task_takes() -> None:
    past = steady(slow=1)
    slower = replace(
        past,
        arrivals_s=array("d", np.asarray(past.arrivals_s) * 10),
        begins_s=array("d", np.asarray(past.begins_s) * 10),
        durations_s=array("d", np.asarray(past.durations_s) * 10),
    )
    assert traits_of(slower, 3, 1) == pytest.approx(traits_of(past, 3, 1))


@pytest.mark.parametrize("rate_qps", [100.0, 1e9])
@pytest.mark.parametrize("over", [1, 2, 50])
def test_little_is_known_at_first_and_all_numbers_are_finite(over: int, rate_qps: float) -> None:
    past = steady(100, rate_qps)
    few = replace(
        past, instances=past.instances[:over], begins_s=past.begins_s[:over], durations_s=past.durations_s[:over]
    )
    assert np.isfinite(traits_of(few, 2, 2)).all()
    assert told(few)["known"] == pytest.approx(np.log(over))


def test_without_anything_that_is_over_there_is_nothing_to_tell() -> None:
    nothing = Seen(array("d", [0.0, 1.0]), array("l"), array("d"), array("d"), 1.0, 4)
    with pytest.raises(ValueError, match="nothing is over yet"):
        traits_of(nothing, 2, 1)
