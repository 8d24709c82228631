"""From the metrics of several seeds to means and confidence intervals."""

from collections.abc import Sequence

import pandas as pd
from scipy.special import stdtrit

SUFFIX = "_ci95"
"""Ends the names of half-widths."""

SUMMED = ("lost", "duplicates")
"""What must be 0 for every seed is added up."""


def over_seeds(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over seeds, and the half-width of its 95 % confidence interval by Student's t.

    ``m +- t(0.975, n - 1) s / sqrt(n)`` for n independent seeds with sample deviation s. A metric that a seed lacks,
    such as one about losses that it did not have, is left out; of one seed alone there are no intervals.

    Args:
        metrics: of each seed.
    """
    table = pd.DataFrame(list(metrics)).dropna(axis="columns")
    means = table.mean()
    for name in table.columns:
        if str(name).rpartition("/")[2] in SUMMED:
            means[name] = table[name].sum()
    if len(table) < 2:
        return {str(name): float(value) for name, value in means.items()}
    half = table.std(ddof=1) * stdtrit(len(table) - 1, 0.975) / len(table) ** 0.5
    values: dict[str, float] = {}
    for name in table.columns:
        values[str(name)] = float(means[name])
        values[f"{name}{SUFFIX}"] = float(half[name])
    return values
