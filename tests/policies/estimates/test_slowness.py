"""Which instances count as slow."""

import random

import pytest

from parity_exp.policies.estimates.busyness import Busyness
from parity_exp.policies.estimates.slowness import Slowness

INSTANCES = 18


def watched(distribution: str, degraded: int, tasks: int = 60_000) -> dict[int, int]:
    """How many tasks each instance was slow for, where the first ``degraded`` take three times as long as the others.

    Once an instance is slow it gets a tenth of the tasks, as a resting one would.
    """
    dice = random.Random(0)
    busyness = Busyness(INSTANCES)
    slowness = Slowness(INSTANCES, busyness)
    slow: dict[int, int] = dict.fromkeys(range(INSTANCES), 0)
    states = [False] * INSTANCES
    for number in range(tasks):
        instance = number % INSTANCES
        if states[instance] and dice.random() > 0.1:
            continue
        varied_s = dice.expovariate(1) if distribution == "exponential" else dice.uniform(0.9, 1.1)
        duration_s = varied_s * (3 if instance < degraded else 1)
        busyness.took(duration_s)
        slowness.took(instance, duration_s)
        states[instance] = slowness.is_slow(instance, states[instance])
        slow[instance] += states[instance]
    return slow


@pytest.mark.parametrize("degraded", [1, 3, 5])
def test_instances_that_are_slow_for_good_are_found_and_no_others(degraded: int) -> None:
    slow = watched("even", degraded)
    assert all(slow[instance] > 100 for instance in range(degraded))
    assert sum(slow[instance] for instance in range(degraded, INSTANCES)) == 0


def test_service_times_that_vary_much_make_no_instance_slow() -> None:
    """A quarter of exponential times is more than twice the median."""
    slow = watched("exponential", 0)
    assert sum(slow.values()) < 60_000 / 1_000
