"""Which of two policies has the shorter tail, over several seeds: ratios of percentiles with confidence intervals.

All policies of a seed meet the same arrivals, stragglers and service times, so what they differ by says more than what
each has come to. Latencies of neighbouring queries go together, in a burst or beside one straggler, so not queries are
drawn again but blocks of them, the same ones for every policy (a paired block bootstrap; Kuensch, Annals of Statistics
17(3), 1989).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PERCENTILES = (99.0, 99.9)

BLOCKS = 20
"""Into so many blocks the queries of a seed are cut, in the order of their arrivals."""

TAIL = 0.1
"""Share of the latencies, the longest, that is kept: room for resamples in which there are more of the longest."""

RESAMPLES = 500
CONFIDENCE = 0.95

COLUMNS = ("policy", "other", "percentile", "ratio", "low", "high")


@dataclass(frozen=True)
class Tail:
    """The longest latencies of a policy with one seed.

    Attributes:
        latency_ms: ``(kept,)``; infinite for a query without an answer.
        block: ``(kept,)``: which block of queries each belongs to, from 0 on.
        queries: ``(blocks,)``: how many each block has, of which not all are kept.
    """

    latency_ms: NDArray[np.float32]
    block: NDArray[np.int32]
    queries: NDArray[np.int64]


def tail_of(latency_ms: NDArray[np.float64]) -> Tail:
    """The tail of a simulation.

    Args:
        latency_ms: ``(queries,)``, in the order of arrivals, without warm-up; NaN for a query without an answer.
    """
    count = len(latency_ms)
    blocks = max(1, min(BLOCKS, count))
    block = np.arange(count) * blocks // max(1, count)
    longest = np.argsort(-np.nan_to_num(latency_ms, nan=np.inf), kind="stable")[: -int(-count * TAIL // 1)]
    return Tail(
        np.nan_to_num(latency_ms[longest], nan=np.inf).astype(np.float32),
        block[longest].astype(np.int32),
        np.bincount(block, minlength=blocks),
    )


def paired(tails: Mapping[str, Sequence[Tail]], seed: int = 0) -> pd.DataFrame:
    """Each two policies beside each other.

    Args:
        tails: of each policy, a seed each, all policies with the same seeds and queries.
        seed: of the resampling.

    Returns:
        a row a pair and percentile: ``policy``, ``other``, ``percentile``, the ``ratio`` of the first one's latency to
        the other's over all seeds together, and between which values ``low`` and ``high`` it is with 95 % confidence.
    """
    counts = np.concatenate([tail.queries for tail in next(iter(tails.values()))])
    weights = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    weights = np.concatenate([np.ones((1, len(counts)), dtype=weights.dtype), weights])  # first what was seen itself
    latencies = {name: _percentiles(several, weights, counts) for name, several in tails.items()}
    return pd.DataFrame(_rows(latencies), columns=list(COLUMNS))


def _percentiles(tails: Sequence[Tail], weights: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(resamples, percentiles)``: of the latencies of one policy, each query as often as its block was drawn."""
    firsts = np.cumsum([0, *(len(tail.queries) for tail in tails)])
    latency_ms = np.concatenate([tail.latency_ms for tail in tails])
    block = np.concatenate([tail.block + first for tail, first in zip(tails, firsts[:-1], strict=True)])
    order = np.argsort(-latency_ms, kind="stable")
    latency_ms, block = latency_ms[order], block[order]
    found = np.empty((len(weights), len(PERCENTILES)))
    for at, drawn in enumerate(weights):
        above = np.cumsum(drawn[block])  # how many are as late as this one or later
        allowed = np.round((drawn * counts).sum() * (100 - np.array(PERCENTILES)) / 100, 6)  # may be later
        found[at] = latency_ms[np.minimum(np.searchsorted(above, allowed, side="right"), len(latency_ms) - 1)]
    return found


def _rows(latencies: Mapping[str, NDArray[np.float64]]) -> Iterator[tuple[str, str, float, float, float, float]]:
    names = list(latencies)
    outside = 100 * (1 - CONFIDENCE) / 2
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            with np.errstate(invalid="ignore"):
                ratios = latencies[name] / latencies[other]
            ratios[np.isnan(ratios)] = 1.0  # both without an answer
            low, high = np.percentile(ratios[1:], [outside, 100 - outside], axis=0, method="nearest")
            for at, percentile in enumerate(PERCENTILES):
                yield name, other, percentile, float(ratios[0, at]), float(low[at]), float(high[at])
