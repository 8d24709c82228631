"""Single-R: delay and probability from measured durations."""

import random

import pytest

from parity_exp.policies import Reissue
from parity_exp.policies.estimates.single_r import FIRST, single_r
from tests.policies.desk_driver import Driver


def response(durations: list[float], delay_s: float, probability: float, percentile: float) -> float:
    """The percentile of the response time, by trying every pair of durations."""
    once = [min(first, delay_s + again) if first > delay_s else first for first in durations for again in durations]
    never = [first for first in durations for _ in durations]
    share = dict.fromkeys(sorted({*once, *never}), 0.0)
    for one, other in zip(once, never, strict=True):
        share[one] += probability / len(once)
        share[other] += (1 - probability) / len(once)
    total = 0.0
    for time_s, weight in share.items():
        total += weight
        if total >= percentile / 100 - 1e-9:
            return time_s
    raise AssertionError


@pytest.mark.parametrize("budget", [0.05, 0.2, 1.0])
def test_no_other_delay_makes_the_percentile_less_within_the_budget(budget: float) -> None:
    chance = random.Random(5)
    durations = sorted(chance.choice([1.0, 1.2, 1.5, 10.0]) * (1 + chance.random()) for _ in range(40))
    delay_s, probability = single_r(durations, 95, budget)
    least = response(durations, delay_s, probability, 95)
    assert probability * sum(one > delay_s for one in durations) / 40 <= budget + 1e-9
    for other_s in durations:
        later = sum(one > other_s for one in durations) / 40
        share = 1.0 if later <= budget else budget / later
        assert response(durations, other_s, share, 95) >= least - 1e-9
    assert least < response(durations, 0, 0, 95) or budget < 0.1


def test_where_all_take_the_same_nothing_is_reissued() -> None:
    assert single_r([1.0] * 50, 99, 0.1)[1] == 0.0


def test_of_what_takes_longer_than_the_delay_the_share_that_the_budget_allows_is_sent_again() -> None:
    driver = Driver(Reissue(2, 1, percentile=95, budget=0.05), 20)
    for number in range(FIRST):  # one in ten takes a second
        (query,) = driver.arrive()
        driver.until(driver.now_s + (1.0 if number % 10 == 0 else 0.01))
        driver.finish(driver.task_of(query))
    before = len(driver.placed)
    for _ in range(100):
        driver.arrive()
        driver.until(driver.now_s + 0.5)
        for task in list(driver.on_instances()):
            driver.finish(task)
    again = len(driver.placed) - before - 100
    assert 40 <= again <= 60, "all are late, and the budget is for half of the one in ten that used to be"
