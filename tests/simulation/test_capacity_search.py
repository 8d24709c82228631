"""The search for the fewest instances: exact where latency falls with size, careful where it does not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.simulation.capacity_search import CLIMB, CONFIRMED_BY, CapacitySearch, grows, percentile

MOST = 400

falling = st.lists(st.integers(1, 60), min_size=1, max_size=MOST).map(lambda values: sorted(values, reverse=True))
anyhow = st.lists(st.integers(1, 60), min_size=1, max_size=MOST)


@settings(max_examples=60, deadline=None)
@given(falling, st.lists(st.integers(0, 61), min_size=1, max_size=4), st.data())
def test_where_latency_falls_with_size_the_answer_is_exact(
    latency: list[int], slos: list[int], data: st.DataObject
) -> None:
    asked: list[int] = []

    def percentile_ms(size: int) -> float:
        asked.append(size)
        return latency[size - 1]

    search = CapacitySearch(percentile_ms, len(latency), guess=data.draw(st.integers(1, len(latency))))
    for slo in slos:
        fewest = search.fewest(slo)
        assert fewest == next((size for size, found in enumerate(latency, 1) if found <= slo), None)
    assert len(asked) == len(set(asked)), "a size was simulated twice"
    climbing, bisecting = math.log(len(latency), CLIMB), math.log2(len(latency))
    assert len(asked) <= len(slos) * (climbing + bisecting + 2 + CONFIRMED_BY)


@settings(max_examples=60, deadline=None)
@given(anyhow, st.integers(1, 60), st.floats(0, 0.1))
def test_an_answer_and_the_next_sizes_keep_the_objective_and_the_size_below_was_seen_to_miss(
    latency: list[int], slo: int, precision: float
) -> None:
    search = CapacitySearch(lambda size: latency[size - 1], len(latency), precision=precision)
    fewest = search.fewest(slo)
    if fewest is None:
        assert latency[-1] > slo
        return
    step = max(1, int(fewest * precision))
    below = [size for size, found in search.tried.items() if found > slo and size < fewest]
    assert latency[fewest - 1] <= slo and fewest - max(below, default=0) <= step
    for number in range(1, CONFIRMED_BY + 1):
        assert search.tried[min(fewest + number * step, len(latency))] <= slo


def test_what_is_kept_in_a_range_only_is_found_and_so_is_the_end_of_a_lucky_streak() -> None:
    """ParM's p99.9 under network transfers falls with the size of the cluster, and rises again."""

    def latency_ms(size: int) -> float:
        lucky = size in (70, 71)
        return 30 if lucky else 100 / min(size / 50, 2.0) + max(0, size - 200) / 10

    search = CapacitySearch(latency_ms, 1000, guess=50)
    assert search.fewest(49) is None
    assert search.fewest(50) == 100
    assert search.fewest(70) == 70, "72 keeps this one, too"
    assert search.fewest(69) == 73


def test_sizes_that_an_objective_has_tried_serve_the_next() -> None:
    search = CapacitySearch(lambda size: 1000 / size, 10_000, guess=50, precision=0.01)
    assert [search.fewest(slo) for slo in (10, 5, 20)] == [100, 200, 50]
    tried = dict(search.tried)
    assert search.fewest(10) == 100 and search.tried == tried
    assert search.fewest(0.01) is None and max(search.tried) == 10_000


def test_a_percentile_is_a_value_that_was_observed() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1, 1001, dtype=float))
    assert [percentile(values, percent) for percent in (0.1, 50, 99.9, 99.95, 100)] == [1, 500, 999, 1000, 1000]
    values[values > 995] = math.inf
    assert percentile(values, 99.5) == 995 and percentile(values, 99.6) == math.inf


@pytest.mark.parametrize(("utilisation", "grown"), [(0.9, False), (1.05, True)])
def test_an_overload_shows_before_the_percentiles_show_it(utilisation: float, grown: bool) -> None:
    random = np.random.default_rng(1)
    free_s, latency_s = [0.0] * 50, []
    for arrival_s in np.cumsum(random.exponential(1 / 50 / utilisation, 5000)):
        first = int(np.argmin(free_s))
        free_s[first] = max(free_s[first], arrival_s) + 1.0
        latency_s.append(free_s[first] - arrival_s)
    assert grows(latency_s) is grown
