"""Ratios of tails over several seeds, and how sure they are."""

import numpy as np
import pandas as pd
import pytest

from parity_exp.simulation.paired import BLOCKS, Tail, paired, tail_of

SEEDS = 5


def tails(latencies: list[np.ndarray]) -> list[Tail]:
    return [tail_of(latency_ms) for latency_ms in latencies]


def drawn(seed: int, queries: int = 4000) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.exponential(10.0, queries) for _ in range(SEEDS)]


def row(pairs: pd.DataFrame, percentile: float) -> pd.Series:
    return pairs[pairs["percentile"] == percentile].iloc[0]


def test_a_policy_that_takes_twice_as_long_with_every_query_is_so_for_sure() -> None:
    latencies = drawn(0)
    pairs = paired({"slow": tails([2 * one for one in latencies]), "quick": tails(latencies)})
    assert pairs[["policy", "other"]].drop_duplicates().to_numpy().tolist() == [["slow", "quick"]]
    for percentile in (99.0, 99.9):
        assert row(pairs, percentile)[["ratio", "low", "high"]].tolist() == pytest.approx([2, 2, 2])


def test_the_ratio_is_of_the_percentiles_of_all_seeds_together() -> None:
    one, other = drawn(1), drawn(2)
    pairs = paired({"one": tails(one), "other": tails(other)})
    for percentile in (99.0, 99.9):
        expected = [np.sort(np.concatenate(some))[round(SEEDS * 4000 * percentile / 100) - 1] for some in (one, other)]
        assert row(pairs, percentile)["ratio"] == pytest.approx(expected[0] / expected[1], rel=1e-6)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = []
    for repetition in range(120):
        pairs = paired({"one": tails(drawn(2 * repetition)), "other": tails(drawn(2 * repetition + 1))})
        held.append(row(pairs, 99.0)["low"] <= 1 <= row(pairs, 99.0)["high"])
    assert 0.88 <= np.mean(held) <= 1


def test_bursts_widen_intervals_as_they_widen_the_spread_of_the_ratio() -> None:
    """In a burst a tenth of a block is late together, so queries that were drawn one by one would look too sure."""

    def bursts(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        late = rng.random((SEEDS, BLOCKS)) < 0.1
        extra = np.repeat(late, 4000 // BLOCKS, axis=1) * rng.exponential(20.0, (SEEDS, 4000))
        return list(rng.exponential(10.0, (SEEDS, 4000)) + extra)

    def width(latencies: list[np.ndarray]) -> float:
        found = row(paired({"one": tails(latencies), "other": tails(drawn(99))}), 99.0)
        return float(np.log(found["high"] / found["low"]))

    in_bursts = bursts(3)
    rng = np.random.default_rng(4)
    together = rng.permutation(np.concatenate(in_bursts)).reshape(SEEDS, -1)
    assert width(in_bursts) > 1.5 * width(list(together))


def test_queries_without_an_answer_are_the_latest_of_all() -> None:
    latency_ms = np.full(1000, 10.0)
    lost = latency_ms.copy()
    lost[::50] = np.nan
    pairs = paired({"loses": tails([lost] * SEEDS), "answers": tails([latency_ms] * SEEDS)})
    assert (pairs["ratio"] == np.inf).all()
    both = paired({"loses": tails([lost] * SEEDS), "too": tails([lost] * SEEDS)})
    assert (both[["ratio", "low", "high"]] == 1).all(axis=None)


def test_few_queries_make_no_trouble() -> None:
    for queries in (1, 7, 30):
        pairs = paired({"one": tails(drawn(5, queries)), "other": tails(drawn(5, queries))})
        assert (pairs[["ratio", "low", "high"]] == 1).all(axis=None)
