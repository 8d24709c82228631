"""When an answer is late."""

import pytest

from parity_exp.policies.estimates.lateness import FIRST, REFRESH, Lateness


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


def test_a_fixed_lateness_learns_nothing() -> None:
    lateness = Lateness(30, 95, 1.2)
    assert lateness.delay_s == 0.03
    for _ in range(100):
        lateness.took(1.0)
    assert lateness.delay_s == 0.03
    assert not lateness.durations
