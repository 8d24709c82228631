"""Which policy where: at every point of a map the one to take, and how often each is better than each other.

A point is a cluster with its load and stragglers. The one to take is the cheapest of those that are about as fast as
the fastest: with the fewest tasks a query, and then with the fewest reconstructed answers.
"""

from collections.abc import Mapping

import pandas as pd

from parity_exp.analysis.pages.findings import NOISE
from parity_exp.analysis.tables.comparison import load_words
from parity_exp.recordings.looks import Looks, baseline_among, look_of

PERCENTILES = (99.0, 99.9)

TASKS_APART, REBUILT_APART = 0.05, 0.02
"""Tasks a query, and shares of reconstructed answers, that differ by less are taken to be the same."""

REBUILT = "fraction/reconstructed"


def key_of(percentile: float) -> str:
    """The metric of a percentile."""
    return f"latency_ms/p{percentile:g}"


def comparable(serving: pd.DataFrame, looks: Looks | None = None) -> pd.DataFrame:
    """Rows of policies as they are, no bounds, on as many instances as most policies of their run have."""
    if serving.empty or "instances" not in serving or "tasks_per_query" not in serving:
        return pd.DataFrame()
    bounds = [policy for policy in serving["policy"].unique() if look_of(str(policy), looks).is_bound]
    rows = serving[(serving["policy"] == serving["policy_variant"]) & ~serving["policy"].isin(bounds)]
    rows = rows.dropna(subset="instances")  # of other people's servers nobody knows them
    usual = rows.groupby("run")["instances"].transform(lambda sizes: sizes.mode().iloc[0])
    return rows[rows["instances"] == usual]


def map_points(serving: pd.DataFrame, looks: Looks | None = None) -> pd.DataFrame:
    """A row a run and percentile, where three policies or more stand beside each other.

    Args:
        serving: a row a run and policy.
        looks: what policies say of themselves.

    Returns:
        ``run``, ``setting``, ``load``, ``percentile``, the ``policy`` to take, its ``latency_ms``, ``tasks_per_query``
        and ``reconstructed``, the ``fastest`` policy and its ``least_ms``, and the latency over that of the
        ``baseline``, ``over_baseline``, NaN where none is there.
    """
    rows = comparable(serving, looks)
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(load=load_words(rows))
    points = []
    for run, place in rows.groupby("run", sort=False):
        if len(place) < 3:
            continue
        baseline = baseline_among(place["policy"], looks)
        for percentile in PERCENTILES:
            latency = place.set_index("policy")[key_of(percentile)].dropna()
            if latency.empty:
                continue
            near = latency[latency <= latency.min() * (1 + NOISE)]
            taken = _cheapest(place.set_index("policy").loc[near.index], near)
            own = place.set_index("policy").loc[taken]
            points.append(
                {
                    **{key: place[key].iloc[0] for key in ("setting", "load")},
                    "run": run,
                    "percentile": percentile,
                    "policy": taken,
                    "latency_ms": latency[taken],
                    "tasks_per_query": own["tasks_per_query"],
                    "reconstructed": own.get(REBUILT, 0.0),
                    "fastest": latency.idxmin(),
                    "least_ms": latency.min(),
                    "over_baseline": latency[taken] / latency[str(baseline)] if baseline in latency else float("nan"),
                }
            )
    return pd.DataFrame(points)


def _cheapest(near: pd.DataFrame, latency: pd.Series) -> str:
    """Of policies that are about as fast, the one that costs least."""
    few = near[near["tasks_per_query"] <= near["tasks_per_query"].min() + TASKS_APART]
    if REBUILT in few:
        few = few[few[REBUILT] <= few[REBUILT].min() + REBUILT_APART]
    return str(latency[few.index].idxmin())


def standings_of_pairs(pairs: pd.DataFrame, serving: pd.DataFrame, looks: Looks | None = None) -> pd.DataFrame:
    """How often each policy is better, worse or neither than each other one.

    Args:
        pairs: a row a run, ordered pair and percentile, see :func:`parity_exp.analysis.runs.pairs.pairs_of`.
        serving: a row a run and policy.
        looks: what policies say of themselves.

    Returns:
        a row a percentile and ordered pair: ``percentile``, ``policy``, ``other``, at how many points its latency is
        ``lower``, at how many ``higher``, with 95 % confidence, at how many that is ``open``, and the ``median`` ratio.
    """
    rows = comparable(serving, looks)
    if pairs.empty or rows.empty:
        return pd.DataFrame()
    there = set(zip(rows["run"], rows["policy"], strict=True))
    own = zip(pairs["run"], pairs["policy"], strict=True)
    others = zip(pairs["run"], pairs["other"], strict=True)
    known = [one in there and other in there for one, other in zip(own, others, strict=True)]
    some = pairs[known]
    counted = some.assign(lower=some["high"] < 1, higher=some["low"] > 1)
    groups = counted.groupby(["percentile", "policy", "other"], sort=False)
    table = groups[["lower", "higher"]].sum().assign(points=groups.size(), median=groups["ratio"].median())
    table["open"] = table["points"] - table["lower"] - table["higher"]
    return table.reset_index()[["percentile", "policy", "other", "lower", "open", "higher", "median"]]


def crossed(standings: pd.DataFrame, percentile: float, order: Mapping[str, int]) -> pd.DataFrame:
    """A table with a row a policy and a column for each other one: better / open / worse.

    Args:
        standings: see :func:`standings_of_pairs`.
        percentile: which.
        order: of policies.
    """
    some = standings[standings["percentile"] == percentile]
    words = some["lower"].astype(str) + " / " + some["open"].astype(str) + " / " + some["higher"].astype(str)
    table = some.assign(words=words).pivot(index="policy", columns="other", values="words")
    names = sorted(table.index, key=lambda name: (order.get(name, len(order)), name))
    return table.reindex(index=names, columns=names).fillna("")
