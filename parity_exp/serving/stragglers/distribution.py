"""Distributions of extra times, in a unit that the user of them chooses."""

from abc import ABC, abstractmethod

import numpy as np

from parity_exp.serving.checks import number

KEY = "straggler.slowdown.distribution"


class Distribution(ABC):
    """Base class of distributions of non-negative numbers."""

    @abstractmethod
    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """``(count,)`` float64, independent of each other."""


class Constant(Distribution):
    """Always the same.

    Args:
        value: the number.
    """

    def __init__(self, value: float) -> None:
        self.value = number(f"{KEY}.value", value, least=0)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return np.full(count, self.value)


class Exponential(Distribution):
    """Density ``exp(-x / mean) / mean``.

    Args:
        mean: the mean.
    """

    def __init__(self, mean: float) -> None:
        self.mean = number(f"{KEY}.mean", mean, least=0)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return random.exponential(self.mean, count)


class LogNormal(Distribution):
    """``median * exp(sigma Z)`` with Z standard normal; its mean is ``median * exp(sigma ** 2 / 2)``.

    Args:
        median: the median.
        sigma: standard deviation of the logarithm.
    """

    def __init__(self, median: float, sigma: float) -> None:
        self.median = number(f"{KEY}.median", median, above=0)
        self.sigma = number(f"{KEY}.sigma", sigma, least=0)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.median * random.lognormal(0.0, self.sigma, count)


class Pareto(Distribution):
    """``P(X > x) = (minimum / x) ** shape`` for x >= minimum; its mean is ``minimum * shape / (shape - 1)``.

    Args:
        minimum: the least value.
        shape: the smaller, the heavier the tail; the mean is infinite at 1 and below, the variance at 2 and below.
    """

    def __init__(self, minimum: float, shape: float) -> None:
        self.minimum = number(f"{KEY}.minimum", minimum, above=0)
        self.shape = number(f"{KEY}.shape", shape, above=0)

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.minimum * (1.0 + random.pareto(self.shape, count))
