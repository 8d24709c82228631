"""Random times, drawn many at a time: how long tasks take, messages travel, and instances are gone."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from parity_exp.disturbances import Distribution
from parity_exp.disturbances.timeline import Timeline
from parity_exp.policies.policy import Work

BLOCK = 4096
"""Numbers drawn at a time."""


class Scaled(Distribution):
    """A distribution stretched to another mean.

    Args:
        shape: the distribution; its mean is finite and above 0.
        mean: the new mean.
    """

    def __init__(self, shape: Distribution, mean: float) -> None:
        self.shape = shape
        self.factor = mean / shape.expected()

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self.factor * self.shape.draw(random, count)

    def expected(self) -> float:
        return self.factor * self.shape.expected()


class RandomTimes:
    """Independent times of one distribution, one at each call.

    Args:
        distribution: of the times, in seconds.
        stream: seed of the random numbers, such as ``[seed, *b"network"]``.
    """

    def __init__(self, distribution: Distribution, stream: Sequence[int]) -> None:
        self._times = _endless(distribution, np.random.default_rng(stream))

    def __call__(self) -> float:
        return next(self._times)


def _endless(distribution: Distribution, random: np.random.Generator) -> Iterator[float]:
    while True:
        yield from distribution.draw(random, BLOCK).tolist()


class ServiceTimes:
    """How long tasks take: a time drawn for each task, delayed by what is injected.

    Each model has a stream of random numbers of its own, that depends on the seed and the model's name alone; times are
    drawn in the order in which tasks are placed. A task that begins at t on an instance takes ``factor(t)`` times as
    long, and then ``extra_s(t)`` longer (see :class:`~parity_exp.disturbances.timeline.Timeline`).

    Args:
        distributions: for each model that of its times, in seconds.
        timelines: for each instance what delays its tasks; none where there are no stragglers.
        seed: 0 or more.
    """

    def __init__(
        self, distributions: Mapping[str, Distribution], timelines: Sequence[Timeline] = (), seed: int = 0
    ) -> None:
        self._times = {
            model: _endless(distribution, np.random.default_rng([seed, *f"service {model}".encode()]))
            for model, distribution in distributions.items()
        }
        self._foreseen: dict[Work, list[float]] = {}
        self._timelines = {instance: timeline for instance, timeline in enumerate(timelines) if timeline}

    def __call__(self, task: Work, begin_s: float) -> float:
        """How long a task takes that its instance begins at a time."""
        foreseen = self._foreseen.pop(task, None) if self._foreseen else None
        time_s = next(self._times[task.model]) if foreseen is None else foreseen[task.instance]
        return self._delayed(time_s, task.instance, begin_s)

    def foresee(self, task: Work, begins_s: Sequence[float]) -> list[float]:
        """How long a task will take on each instance that would begin it at a time, before it is placed anywhere."""
        times_s = self._foreseen.get(task)
        if times_s is None:
            draws = self._times[task.model]
            times_s = self._foreseen[task] = [next(draws) for _ in begins_s]
        return [self._delayed(*times) for times in zip(times_s, range(len(begins_s)), begins_s, strict=True)]

    def _delayed(self, time_s: float, instance: int, begin_s: float) -> float:
        timeline = self._timelines.get(instance)
        if timeline is None:
            return time_s
        factor, extra_s = timeline.at(begin_s)
        return time_s * factor + extra_s
