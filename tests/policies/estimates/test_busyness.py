"""How busy instances are."""

import pytest

from parity_exp.policies.estimates.busyness import Busyness


def test_busyness_is_arrivals_times_duration_over_instances() -> None:
    busyness = Busyness(4)
    assert busyness.share == 0
    for turn in range(5_000):
        busyness.arrived(turn * 0.01)
        busyness.took(0.02)
    assert busyness.share == pytest.approx(0.5)


def test_busyness_stands_arrivals_at_the_same_time() -> None:
    busyness = Busyness(2)
    for _ in range(3):
        busyness.arrived(1.0)
    busyness.took(0.1)
    assert busyness.share == 0
    busyness.arrived(1.1)
    assert busyness.share > 0


def test_the_first_gap_between_arrivals_does_not_decide_how_busy_instances_seem() -> None:
    for first_gap_s in (1e-6, 0.02):
        busyness = Busyness(4)
        busyness.arrived(0.0)
        for turn in range(100):
            busyness.arrived(first_gap_s + turn * 0.01)
            busyness.took(0.02)
        assert busyness.share == pytest.approx(0.5, rel=0.02)


def test_a_rate_that_is_told_is_taken_at_once_and_corrected_by_what_comes() -> None:
    busyness = Busyness(1)
    busyness.took(0.5)
    for arrival in range(3_000):
        busyness.arrived(float(arrival))
    busyness.comes_every(2.0)
    assert busyness.share == pytest.approx(0.25)
    for arrival in range(200):
        busyness.arrived(2_999.0 + 4 * (arrival + 1))
    assert busyness.share == pytest.approx(0.5 / 3.6, rel=0.05)
