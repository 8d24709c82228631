"""When an answer is late."""

from random import Random

import pytest

from parity_exp.policies.estimates.lateness import FIRST, REFRESH, WINDOW, Lateness


def test_lateness_is_unknown_at_first_and_then_follows_the_durations() -> None:
    lateness = Lateness(None, 95, 1.2)
    for _ in range(FIRST - 1):
        lateness.took(0.01)
    assert lateness.delay_s is None
    lateness.took(0.01)
    assert lateness.delay_s == pytest.approx(0.012)
    for _ in range(2_000):
        lateness.took(0.02)
    assert lateness.delay_s == pytest.approx(0.024)


def test_lateness_is_the_percentile_times_the_margin() -> None:
    lateness = Lateness(None, 90, 1.5)
    for turn in range(20 * REFRESH):
        lateness.took((turn * 37 % 100) / 1e3)
    assert lateness.delay_s == pytest.approx(0.090 * 1.5, rel=0.02)


@pytest.mark.parametrize("percentile", [0.1, 50, 99.9])
def test_lateness_is_that_of_the_latest_durations_in_order(percentile: float) -> None:
    random = Random(3)
    lateness, all_s = Lateness(None, percentile, 1.0), []
    for _ in range(FIRST + 70 * REFRESH):
        all_s.append(random.choice([0.01, 0.02, random.expovariate(50)]))
        lateness.took(all_s[-1])
        if len(all_s) >= FIRST and (len(all_s) - FIRST) % REFRESH == 0:
            latest_s = sorted(all_s[-WINDOW:])
            assert lateness.delay_s == latest_s[int(len(latest_s) * percentile / 100)]
    after = Lateness(None, percentile, 2.0)
    for duration_s in all_s[: REFRESH // 2]:
        lateness.took(duration_s)
    after.go_on_from(lateness)
    latest_s = sorted((all_s + all_s[: REFRESH // 2])[-WINDOW:])
    assert after.delay_s == 2.0 * latest_s[int(len(latest_s) * percentile / 100)]


def test_a_fixed_lateness_learns_nothing() -> None:
    lateness = Lateness(30, 95, 1.2)
    assert lateness.delay_s == 0.03
    for _ in range(100):
        lateness.took(1.0)
    assert lateness.delay_s == 0.03
    assert not lateness.durations
