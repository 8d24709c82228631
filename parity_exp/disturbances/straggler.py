"""What every straggler model is: it writes down ahead of a run what will happen to which instance, and when.

To write your own, subclass :class:`Straggler`, implement :meth:`Straggler.trace`, and name the class in a YAML file of
the config group ``straggler``, nested under the model's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from parity_exp.checks import Checked, SettingError
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.trace import Disturbance
from parity_exp.disturbances.worlds import in_order

PRECISION = 6
"""Digits after the point that a trace keeps: microseconds in times, nanoseconds in extra times."""


class NotThereError(SettingError):
    """Settings name instances of which a cluster has none; another policy's, which is larger, may have them."""


def those_there(name: str, named: Sequence[int], instances: int, shown: object = None) -> list[int]:
    """Of the instances that a setting names those that a cluster has.

    Args:
        name: the setting, for the message.
        named: numbers of instances.
        instances: how many there are.
        shown: the setting's value, for the message; ``named`` where it is left out.

    Raises:
        NotThereError: there is none of them.
    """
    there = [instance for instance in named if instance < instances]
    if named and not there:
        raise NotThereError(
            f"{{{name}}}={named if shown is None else shown}: expected numbers from 0 to {instances - 1}, "
            f"there are {instances} instances"
        )
    return there


class Straggler(Checked, ABC):
    """Base class of straggler models."""

    @abstractmethod
    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        """What will happen; a pure function of the model's settings and these arguments.

        Args:
            instances: how many there are, of any model, in the cluster that it is for.
            duration_s: how long the trace is; times lie in ``[0, duration_s)``, but the last rows may end later.
            random: the model's own stream of random numbers.
            service_s: the typical time that a query takes, for models that need a scale.

        Returns:
            Rows in any order.

        Raises:
            SettingError: the model cannot do what its settings say to so many instances.
            NotThereError: they name instances of which there is none.
        """

    def named(self) -> Sequence[int | Disturbance]:
        """The instances that settings name, or the rows that they give; a cluster need not have all of them.

        Empty for models that draw them, and so always find some.
        """
        return ()

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
        instances: how many there are, of any model, in the cluster that the trace is for.
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
    return in_order(rounded)


def all_helpers(stragglers: Mapping[str, Straggler]) -> dict[str, Helper]:
    """For each kind of row that takes a process of its own, what that process does.

    Raises:
        SettingError: two models want different processes for one kind.
    """
    chosen: dict[str, Helper] = {}
    for name, straggler in stragglers.items():
        for kind, helper in straggler.helpers().items():
            if chosen.setdefault(kind, helper) != helper:
                raise SettingError(
                    f"{{straggler.{name}}}: another straggler sets other parameters for {kind} processes"
                )
    return chosen
