"""A load whose rate changes by phases."""

from typing import Any

import numpy as np
import pytest

from parity_exp.checks import SettingError
from parity_exp.load import Steps


def arrivals(load: Steps, rate_qps: float, seed: int = 0) -> np.ndarray:
    return load.arrivals(rate_qps, np.random.default_rng(seed))


def test_the_rate_doubles_and_the_phases_begin_again() -> None:
    load = Steps([[20, 500], [10, 1000]], queries=60_000)
    times_s = arrivals(load, load.rate(0.02, 4))
    counts = np.histogram(times_s, bins=[0, 20, 30, 50, 60])[0]
    assert counts == pytest.approx([10_000, 10_000, 10_000, 10_000], rel=0.05)
    assert (np.diff(times_s) >= 0).all()


def test_arrivals_within_a_phase_are_a_poisson_process() -> None:
    times_s = arrivals(Steps([[100, 400], [100, 0]], queries=100_000), 200)
    assert (times_s % 200 <= 100).all()
    gaps_s = np.diff(times_s[times_s < 100])
    assert gaps_s.mean() == pytest.approx(1 / 400, rel=0.03)
    assert gaps_s.std() == pytest.approx(1 / 400, rel=0.04)


def test_shares_of_what_the_instances_can_serve() -> None:
    load = Steps([[10, 0.3], [10, 0.6]], queries=10, unit="utilisation")
    assert load.rate(service_s=0.02, base_instances=4) == pytest.approx(90)


def test_without_a_number_of_queries_there_is_one_pass() -> None:
    load = Steps([[10, 50], [10, 100]], warmup=200)
    assert load.total == 1500
    assert arrivals(load, load.rate(0.02, 4))[-1] == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"phases": [[10]]}, ["phases", "phase 1", "[10]", "[duration in seconds, rate]"]),
        ({"phases": [[10, 5], [0, 5]]}, ["phase 2", "a duration above 0"]),
        ({"phases": [[10, -5]]}, ["phase 1", "a rate of 0 or more"]),
        ({"phases": [[10, 0]]}, ["phases", "a rate above 0"]),
        ({"phases": []}, ["phases", "a rate above 0"]),
        ({"phases": [[10, 120]], "unit": "utilisation", "queries": 5}, ["phase 1", "120", "unit", "qps"]),
        ({"phases": [[10, 0.5]], "unit": "utilisation"}, ["queries", "unit"]),
        ({"phases": [[10, 10]], "warmup": 100}, ["warmup=100", "100 queries"]),
        ({"phases": [["10", 10]]}, ["phases"]),
    ],
)
def test_phases_that_cannot_be_are_refused(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as refused:
        Steps(**arguments)
    assert "\n" not in str(refused.value)
    assert all(word in str(refused.value) for word in words)
