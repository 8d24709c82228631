"""Distributions of times, in a unit that the user of them chooses."""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from parity_exp.checks import Checked, SettingError
from parity_exp.disturbances.trace import LARGEST
from parity_exp.errors import UserError
from parity_exp.files.csv_rows import finite_number, is_name, read_rows
from parity_exp.ranges import NotNegative, Positive, Text


class Distribution(Checked, ABC):
    """Base class of distributions of non-negative numbers."""

    @abstractmethod
    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """``(count,)`` float64, independent of each other."""

    @abstractmethod
    def expected(self) -> float:
        """The expected value; infinity where there is none."""


class Constant(Distribution):
    """Always the same.

    Args:
        value: the number.
    """

    def __init__(self, value: NotNegative) -> None:
        self.value = float(value)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return np.full(count, self.value)

    def expected(self) -> float:
        return self.value


class Exponential(Distribution):
    """Density ``exp(-x / mean) / mean``.

    Args:
        mean: the mean.
    """

    def __init__(self, mean: NotNegative) -> None:
        self.mean = float(mean)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return random.exponential(self.mean, count)

    def expected(self) -> float:
        return self.mean


class ShiftedExponential(Distribution):
    """``minimum`` plus an exponential time.

    Args:
        minimum: the least value.
        mean_extra: mean of what comes on top.
    """

    def __init__(self, minimum: NotNegative, mean_extra: NotNegative) -> None:
        self.minimum = float(minimum)
        self.mean_extra = float(mean_extra)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.minimum + random.exponential(self.mean_extra, count)

    def expected(self) -> float:
        return self.minimum + self.mean_extra


class LogNormal(Distribution):
    """``median * exp(sigma Z)`` with Z standard normal; its mean is ``median * exp(sigma ** 2 / 2)``.

    Args:
        median: the median.
        sigma: standard deviation of the logarithm.
    """

    def __init__(self, median: Positive, sigma: Annotated[float, Ge(0), Le(10)]) -> None:
        self.median = float(median)
        self.sigma = float(sigma)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.median * random.lognormal(0.0, self.sigma, count)

    def expected(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)


class Pareto(Distribution):
    """``P(X > x) = (minimum / x) ** shape`` for x >= minimum; its mean is ``minimum * shape / (shape - 1)``.

    Args:
        minimum: the least value.
        shape: the smaller, the heavier the tail; the mean is infinite at 1 and below, the variance at 2 and below.
    """

    def __init__(self, minimum: Positive, shape: Annotated[float, Gt(0), Le(1000)]) -> None:
        self.minimum = float(minimum)
        self.shape = float(shape)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.minimum * (1.0 + random.pareto(self.shape, count))

    def expected(self) -> float:
        return self.minimum * self.shape / (self.shape - 1) if self.shape > 1 else math.inf


class Resampled(Distribution):
    """Given values, drawn again with replacement: their empirical distribution.

    Args:
        values: ``(n,)``, 0 or more each, n at least 1.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return random.choice(self.values, count)

    def expected(self) -> float:
        return float(self.values.mean())


class Empirical(Resampled):
    """The values of a CSV file, drawn again.

    Args:
        path: the file: one number a row, with a name in the first row or without.

    Raises:
        SettingError: no file is given.
        UserError: the file is missing or wrong, with its name and the row's number.
    """

    def __init__(self, path: Text | Path | None) -> None:
        if path is None:
            raise SettingError("{path}={null}: expected a CSV file with one number a row")
        rows = read_rows(path)
        if is_name(rows[0][1][0]):
            rows = rows[1:]
        if not rows:
            raise UserError(f"{path}: it has no numbers")
        super().__init__(np.array([_value(path, number, cells) for number, cells in rows]))


def _value(path: str | Path, row: int, cells: list[str]) -> float:
    value = finite_number(cells[0])
    if len(cells) != 1 or value is None or not 0 <= value <= LARGEST:
        raise UserError(f"{path}: row {row}: {','.join(cells)}, expected one number, from 0 to {LARGEST:g}")
    return value
