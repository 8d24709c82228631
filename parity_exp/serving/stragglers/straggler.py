"""What every straggler model is: it writes down ahead of a run what will happen to which instance, and when.

To write your own, subclass :class:`Straggler`, implement :meth:`Straggler.trace`, and name the class in a YAML file of
the config group ``straggler``, nested under the model's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from parity_exp.errors import ConfigError
from parity_exp.serving.helpers.helper import Helper
from parity_exp.serving.trace import Disturbance

PRECISION = 6
"""Digits after the point that a trace keeps: microseconds in times, nanoseconds in extra times."""


class Straggler(ABC):
    """Base class of straggler models."""

    @abstractmethod
    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        """What will happen; a pure function of the model's settings and these arguments.

        Args:
            instances: how many there are, of any model.
            duration_s: how long the trace is; times lie in ``[0, duration_s)``, but the last rows may end later.
            random: the model's own stream of random numbers.
            service_s: the typical time that a query takes, for models that need a scale.

        Returns:
            Rows in any order.

        Raises:
            ConfigError: the model cannot do what its settings say to so many instances.
        """

    def helpers(self) -> Mapping[str, Helper]:
        """For each kind of row that takes a process of its own, what that process does."""
        return {}


def compose(
    stragglers: Mapping[str, Straggler], instances: int, duration_s: float, seed: int, service_s: float
) -> list[Disturbance]:
    """The trace of several models together, sorted by start.

    Each model draws from a stream of random numbers that depends on the seed and on the model's name alone: adding one
    leaves the rows of the others as they were.

    Args:
        stragglers: the models by name.
        instances: how many there are, of any model; the most that any policy has.
        duration_s: how long the trace is.
        seed: 0 or more.
        service_s: the typical time that a query takes.
    """
    rows = [
        row
        for name, straggler in stragglers.items()
        for row in straggler.trace(instances, duration_s, np.random.default_rng([seed, *name.encode()]), service_s)
    ]
    # What is injected is what the file says: numbers are rounded here, not when they are written.
    rounded = [
        Disturbance(
            row.kind,
            row.instance,
            round(row.start_s, PRECISION),
            round(row.end_s, PRECISION),
            row.factor,
            round(row.extra_ms, PRECISION),
        )
        for row in rows
    ]
    return sorted(rounded, key=lambda row: (row.start_s, row.end_s, row.instance, row.kind, row.factor, row.extra_ms))


def all_helpers(stragglers: Mapping[str, Straggler]) -> dict[str, Helper]:
    """For each kind of row that takes a process of its own, what that process does.

    Raises:
        ConfigError: two models want different processes for one kind.
    """
    chosen: dict[str, Helper] = {}
    for name, straggler in stragglers.items():
        for kind, helper in straggler.helpers().items():
            if chosen.setdefault(kind, helper) != helper:
                raise ConfigError(f"straggler.{name}: another straggler sets other parameters for {kind} processes")
    return chosen
