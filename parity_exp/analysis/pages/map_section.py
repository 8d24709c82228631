"""Which policy when, over many simulated clusters, loads and stragglers: in a picture, sentences and tables."""

from collections.abc import Mapping

import pandas as pd

from parity_exp.analysis.pages.findings import NOISE
from parity_exp.analysis.pages.page import Picture, Section, Table
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.analysis.tables.policy_map import PERCENTILES, REBUILT_APART, TASKS_APART, crossed
from parity_exp.recordings.looks import KNOWN
from parity_exp.words import counted

FEWEST_POINTS = 4
"""Of fewer there is no map."""

HOW = (
    f"At each point the cheapest of those policies is taken whose latency is within {NOISE:.0%} of the least: the one "
    f"with the fewest tasks a query (within {TASKS_APART:g}), then the one with the fewest reconstructed answers "
    f"(within {REBUILT_APART:.0%}). Compared are policies on the same number of machines."
)
PAIRED = (
    "Better, open, worse: at so many points the 95 % confidence interval of the ratio of the two latencies is below 1, "
    "has 1 in it, or is above 1. Both policies met the same arrivals, stragglers and service times; blocks of queries "
    "were drawn again, the same ones for both."
)


def map_section(tidy: Tidy, points: pd.DataFrame, standings: pd.DataFrame, pictures: Mapping[str, Picture]) -> Section:
    """The section; empty where there are too few points.

    Args:
        tidy: the runs.
        points: see :func:`parity_exp.analysis.tables.policy_map.map_points`.
        standings: see :func:`parity_exp.analysis.tables.policy_map.standings_of_pairs`.
        pictures: by name.
    """
    title = "Which policy when"
    if points.empty or points["run"].nunique() < FEWEST_POINTS:
        return Section("map", title)
    text = [HOW, *_sentences(points)]
    tables = []
    if not standings.empty:
        text.append(PAIRED)
        order = {name: place for place, name in enumerate(KNOWN)}
        for percentile in PERCENTILES:
            table = crossed(standings, percentile, order)
            rows = [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
            heads = [f"p{percentile:g} of", *map(str, table.columns)]
            tables.append(Table(heads, rows, "Points at which it is better / open / worse than"))
    return Section("map", title, text, tables, [pictures[name] for name in ("policy_map",) if name in pictures])


def _sentences(points: pd.DataFrame) -> list[str]:
    """At how many points which policy is taken, and what it does and costs there."""
    sentences = []
    for percentile, some in points.groupby("percentile"):
        parts = []
        for policy, own in some.groupby("policy", sort=False):
            words = f"{policy} at {len(own)} ({own['tasks_per_query'].median():.2f} tasks a query"
            if own["reconstructed"].median() > 0:
                words += f", {own['reconstructed'].median():.0%} of its answers reconstructed"
            over = own["over_baseline"].median()
            words += f", {over:.2f} of the baseline's latency)" if over == over else ")"
            parts.append((len(own), words))
        told = "; ".join(words for _, words in sorted(parts, reverse=True))
        sentences.append(
            f"By p{percentile:g}, of {counted(len(some), 'point')}: {told}. The numbers in brackets are medians."
        )
    return sentences
