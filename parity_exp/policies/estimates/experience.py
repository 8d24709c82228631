"""Experience: what ways to go came to on clusters that were like this one."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log10, nan
from pathlib import Path
from typing import Any

import numpy as np

from parity_exp.policies.estimates.traits import TRAITS
from parity_exp.policies.replay import Replayed, excesses

TABLE = Path(__file__).with_name("experience.csv.gz")
"""Clusters that were drawn at random; ``examples/gather_experience.py`` makes it anew."""

LEVELS = (90.0, 99.0, 99.9)
"""Percentiles that are known; those between two are taken to lie between."""

REACH = 16.0
"""Clusters differ by so many standard deviations of a trait where what is known of one has lost two thirds of its worth
for the other."""

NOISE = 0.1
"""Variance of what chance did to one cluster, as a share of that between clusters."""


@dataclass(frozen=True)
class Expected:
    """What a way to go comes to.

    Attributes:
        excess: by how much each level of the latency is above the least that any way has, as logarithms of the ratios.
        tasks: per query.
        reconstructed: share of the answers.
    """

    excess: tuple[float, ...]
    tasks: float
    reconstructed: float

    def excess_at(self, percentile: float) -> float:
        """The same at another percentile."""
        return float(np.interp(-log10(100 - percentile), [-log10(100 - level) for level in LEVELS], self.excess))


def expected_of(made: Mapping[str, Replayed], arrivals: int) -> dict[str, Expected]:
    """What ways came to that served the same arrivals."""
    by_level = [excesses({way: one.tail_s(level, arrivals) for way, one in made.items()}) for level in LEVELS]
    return {
        way: Expected(tuple(excess[way] for excess in by_level), one.tasks, one.reconstructed)
        for way, one in made.items()
    }


def _columns(way: str) -> list[str]:
    return [f"{way} p{level:g}" for level in LEVELS] + [f"{way} tasks", f"{way} reconstructed"]


def row_of(traits: Sequence[float] | np.ndarray, expected: Mapping[str, Expected]) -> dict[str, float]:
    """A row of a table of experience."""
    row = dict(zip(TRAITS, map(float, traits), strict=True))
    for way, one in expected.items():
        row |= zip(_columns(way), (*one.excess, one.tasks, one.reconstructed), strict=True)
    return row


class Experience:
    """Tells of clusters that are like one what ways came to there: regression with a Gaussian process.

    Its kernel falls exponentially with the distance of the traits, which are scaled to a standard deviation of one. Far
    from all that is known it tells the mean (Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006,
    chapter 2, equation 2.25).

    Args:
        table: rows for clusters, as by :func:`row_of`; other columns are ignored. What a row has of a way that was not
            tried there is empty, and that way is told from the others.

    Attributes:
        ways: that it knows.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(self, table: Sequence[Mapping[str, Any]]) -> None:
        found = list(table[0]) if table else []
        self.ways = [name.removesuffix(" tasks") for name in found if name.endswith(" tasks")]
        columns = [column for way in self.ways for column in _columns(way)]
        missing = [name for name in (*TRAITS, *columns) if name not in found]
        if missing:
            raise ValueError(f"experience: expected rows with {', '.join(missing)}")
        known = _numbers(table, TRAITS)
        told = _numbers(table, columns)
        self._middle, self._scale = known.mean(axis=0), known.std(axis=0) + 1e-9
        self._known = self._scaled(known)
        self._usual = np.nanmean(told, axis=0)
        alike = _alike(self._known, self._known) + NOISE * np.eye(len(known))
        tried = ~np.isnan(told)
        self._weights = np.zeros_like(told)
        for rows in np.unique(tried, axis=1).T:
            these = (tried == rows[:, None]).all(axis=0)
            self._weights[np.ix_(rows, these)] = np.linalg.solve(
                alike[np.ix_(rows, rows)], told[np.ix_(rows, these)] - self._usual[these]
            )

    def expects(self, traits: np.ndarray) -> tuple[dict[str, Expected], float]:
        """What to expect of each way, and how much the nearest of the known clusters is like this one, from 0 to 1."""
        alike = _alike(self._scaled(traits[None]), self._known)
        told = self._usual + (alike @ self._weights)[0]
        of_ways = told.reshape(len(self.ways), -1)
        return {
            way: Expected(tuple(map(float, one[: len(LEVELS)])), float(one[-2]), float(np.clip(one[-1], 0, 1)))
            for way, one in zip(self.ways, of_ways, strict=True)
        }, float(alike.max())

    def _scaled(self, traits: np.ndarray) -> np.ndarray:
        return (traits - self._middle) / self._scale / REACH


def _numbers(table: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> np.ndarray:
    return np.array([[nan if row[column] == "" else float(row[column]) for column in columns] for row in table])


def _alike(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * some @ others.T
    return np.exp(-np.sqrt(np.maximum(squares, 0)))


@cache
def experience() -> Experience:
    """What comes with the package."""
    with gzip.open(TABLE, "rt", newline="") as file:
        return Experience(list(csv.DictReader(file)))
