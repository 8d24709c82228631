"""From one policy's queries to numbers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parity_exp.policies.policy import SOURCES

GAP = "gap_ms"

PER_MILLE = {"p50": 500, "p90": 900, "p99": 990, "p99.5": 995, "p99.9": 999}


def percentiles(latency_ms: NDArray[np.float64]) -> dict[str, float]:
    """p50 to p99.9 of latencies that were observed: the smallest that at least that share of them does not exceed.

    That is numpy's ``inverted_cdf``, with the rank in whole numbers, so that p99.9 of 1,000 is the 999th and no
    rounding makes it the 1,000th. Nothing is interpolated or binned. ``latency_ms`` must not be empty.
    """
    ordered = np.sort(latency_ms)
    return {name: float(ordered[-(-share * len(ordered) // 1000) - 1]) for name, share in PER_MILLE.items()}


def serving_metrics(queries: pd.DataFrame, lost: int = 0, duplicates: int = 0) -> dict[str, float]:
    """Latency, accuracy and sources of the answers that clients got.

    ``gap_ms`` is p99.9 - p50, ParM's measure of how predictable latency is (SOSP 2019). Throughput is answers over
    the time from the first scheduled arrival to the last answer. Beside ``accuracy``, the mean score goes by the name
    of the task's quality, and further scores by their own.

    Args:
        queries: a row a measured query, as :meth:`Recorder.queries` gives them.
        lost: queries that were sent and never answered.
        duplicates: answers too many.

    Returns:
        Names as in ``metrics.json`` without ``serve/<policy>/``, those of :func:`metrics_by_losses` and
        :func:`metrics_by_frontend` among them; of no
        queries at all only the three counts.
    """
    counts: dict[str, float] = {"queries": len(queries), "lost": lost, "duplicates": duplicates}
    if queries.empty:
        return counts
    latency_ms = queries["latency_ms"].to_numpy()
    at = percentiles(latency_ms)
    seconds = float(queries["completed_s"].max() - queries["scheduled_s"].min())
    shares = queries["source"].value_counts(normalize=True)
    return {
        **{f"latency_ms/{name}": value for name, value in at.items()},
        "latency_ms/mean": float(latency_ms.mean()),
        "latency_ms/max": float(latency_ms.max()),
        GAP: at["p99.9"] - at["p50"],
        **_accuracy(queries),
        **{f"fraction/{source}": float(shares.get(source, 0.0)) for source in SOURCES},
        **metrics_of_wrong_answers(queries),
        **counts,
        "throughput_qps": len(queries) / seconds if seconds > 0 else 0.0,
        **metrics_by_losses(queries),
        **metrics_by_frontend(queries),
    }


def metrics_by_frontend(queries: pd.DataFrame) -> dict[str, float]:
    """Of each of several frontends ``frontends/<number>/queries`` and the percentiles of its clients' latency."""
    if "frontend" not in queries:
        return {}
    metrics: dict[str, float] = {}
    for number, own in queries.groupby("frontend"):
        metrics[f"frontends/{number}/queries"] = len(own)
        at = percentiles(own["latency_ms"].to_numpy())
        metrics |= {f"frontends/{number}/latency_ms/{name}": value for name, value in at.items()}
    return metrics


def _accuracy(queries: pd.DataFrame) -> dict[str, float]:
    """How good answers were; nothing where there were no predictions, as in a simulation."""
    if "correct" not in queries:
        return {}
    quality = queries.attrs.get("quality", "accuracy")
    more = {name: float(queries[name].mean()) for name in queries.attrs.get("more_scores", ()) if name in queries}
    return {quality: float(queries["score"].mean()), "accuracy": float(queries["correct"].mean()), **more}


def quality_of(metrics: Mapping[str, float]) -> str:
    """The score that a policy's answers were judged by: as :func:`serving_metrics` puts it, right before accuracy."""
    keys = list(metrics)
    before = keys[keys.index("accuracy") - 1] if "accuracy" in keys[1:] else GAP
    return "accuracy" if before == GAP or "/" in before else before


def metrics_of_wrong_answers(queries: pd.DataFrame) -> dict[str, float]:
    """Shares of the answers: ``corrupted`` ones, ``flagged`` ones, and ``unnoticed``: corrupted and not flagged."""
    if "corrupted" not in queries:
        return {}  # recorded before there were any
    corrupted, flagged = queries["corrupted"], queries["flagged"]
    shares = {"corrupted": corrupted, "flagged": flagged, "unnoticed": corrupted & ~flagged}
    return {f"fraction/{name}": float(rows.mean()) for name, rows in shares.items()}


def metrics_by_losses(queries: pd.DataFrame) -> dict[str, float]:
    """How many coding groups had l predictions reconstructed, and how accurate those are, for each l that occurred.

    ``losses_<l>/groups`` and ``losses_<l>/accuracy``; nothing where no group had more than one. In batches each query
    counts, so that a lost batch of two is two losses.
    """
    rebuilt = queries[(queries["source"] == "reconstructed") & (queries["group"] >= 0)]
    losses = rebuilt.groupby("group")["group"].transform("size")
    if losses.empty or losses.max() < 2:
        return {}
    metrics: dict[str, float] = {}
    for count, some in rebuilt.groupby(losses):
        metrics[f"losses_{count}/groups"] = len(some) // int(str(count))
        if "correct" in some:
            metrics[f"losses_{count}/accuracy"] = float(some["correct"].mean())
    return metrics
