"""How long tasks take: what is drawn ahead for each of them, and what its instance's stragglers add to that."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from parity_exp.disturbances import Distribution
from parity_exp.disturbances.timeline import Timeline
from parity_exp.policies.policy import Work
from parity_exp.simulation.drawn_ahead import DrawnForModel


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


class ServiceTimes:
    """How long tasks take: a time drawn ahead for each, delayed by what is injected.

    The time depends on the seed, the model's name, and the query and copy, or the group, row and copy (see
    :mod:`~parity_exp.simulation.drawn_ahead`): it is the same on whichever instance. A task that begins at t on an
    instance takes ``factor(t)`` times as long, and then ``extra_s(t)`` longer (see
    :class:`~parity_exp.disturbances.timeline.Timeline`).

    Args:
        distributions: for each model that of its times, in seconds.
        timelines: for each instance what delays its tasks; none where there are no stragglers.
        seed: 0 or more.
        amounts: how much work a task is, as a multiple of what its model's distribution says; None: all are alike.
    """

    def __init__(
        self,
        distributions: Mapping[str, Distribution],
        timelines: Sequence[Timeline] = (),
        seed: int = 0,
        amounts: Callable[[Work], float] | None = None,
    ) -> None:
        self._amounts = amounts
        self._of_models = {
            model: DrawnForModel(distribution, [seed, *f"service {model}".encode()])
            for model, distribution in distributions.items()
        }
        self._draw = {model: times.of for model, times in self._of_models.items()}  # looked up once
        self._timelines = {instance: timeline for instance, timeline in enumerate(timelines) if timeline}

    def __call__(self, task: Work, begin_s: float) -> float:
        """How long a task takes that its instance begins at a time; it is asked for once."""
        time_s = self._draw[task.model](task)
        if self._amounts is not None:
            time_s *= self._amounts(task)
        if self._timelines:
            timeline = self._timelines.get(task.instance)
            if timeline is not None:
                factor, extra_s = timeline.at(begin_s)
                return time_s * factor + extra_s
        return time_s

    def foresee(self, task: Work, begins_s: Sequence[float]) -> list[float]:
        """How long a task will take on each instance that would begin it at a time, before it is placed anywhere."""
        time_s = self._of_models[task.model].next(task)
        if self._amounts is not None:
            time_s *= self._amounts(task)
        return [self._delayed(time_s, instance, begin_s) for instance, begin_s in enumerate(begins_s)]

    def _delayed(self, time_s: float, instance: int, begin_s: float) -> float:
        timeline = self._timelines.get(instance)
        if timeline is None:
            return time_s
        factor, extra_s = timeline.at(begin_s)
        return time_s * factor + extra_s
