"""Stragglers that come, change their kind and go: each part of a run has its own."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.straggler import Straggler, all_helpers
from parity_exp.disturbances.trace import Disturbance

START, END = "start_s", "end_s"


class Phases(Straggler):
    """Other stragglers, each from one time to another; where times overlap, all of them act.

    What a straggler does counts from the beginning of its part, and what goes on at its end stops there.

    Args:
        parts: by name, ``start_s`` (0 where it is left out), ``end_s`` (the end of the run), and stragglers by name.

    Raises:
        SettingError: parts that cannot be.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        if not parts:
            raise SettingError("{parts}: there is none; give each a name, start_s, end_s and a straggler")
        self.parts = {str(name): _part(str(name), part) for name, part in parts.items()}

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        rows = []
        streams = random.spawn(len(self.parts))
        for (name, (start_s, end_s, stragglers)), stream in zip(self.parts.items(), streams, strict=True):
            length_s = min(end_s, duration_s) - start_s
            if length_s <= 0:
                continue
            for (kind, straggler), own in zip(stragglers.items(), stream.spawn(len(stragglers)), strict=True):
                try:
                    made = straggler.trace(instances, length_s, own, service_s)
                except SettingError as error:
                    raise error.within(f"parts.{name}.{kind}") from None
                rows += [_moved(row, start_s, length_s) for row in made if row.start_s < length_s]
        return rows

    def named(self) -> Sequence[int | Disturbance]:
        return [one for straggler in self._stragglers() for one in straggler.named()]

    def helpers(self) -> Mapping[str, Helper]:
        return all_helpers({str(number): straggler for number, straggler in enumerate(self._stragglers())})

    def _stragglers(self) -> list[Straggler]:
        return [straggler for _, _, stragglers in self.parts.values() for straggler in stragglers.values()]


def _part(name: str, part: object) -> tuple[float, float, dict[str, Straggler]]:
    """Beginning, end and stragglers of a part.

    Raises:
        SettingError: it has none.
    """
    if not isinstance(part, Mapping):
        raise SettingError(f"{{parts.{name}}}={part}: expected start_s, end_s and a straggler")
    times = {key: default if part.get(key) is None else part[key] for key, default in ((START, 0.0), (END, inf))}
    for key, time_s in times.items():
        if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not time_s >= 0:
            raise SettingError(f"{{parts.{name}.{key}}}={time_s}: expected a time of 0 or more seconds")
    if not times[START] < times[END]:
        raise SettingError(f"{{parts.{name}.{END}}}={times[END]:g}: expected more than {START}={times[START]:g}")
    others = {str(key): value for key, value in part.items() if key not in times}
    for key, value in others.items():
        if not isinstance(value, Straggler):
            raise SettingError(f"{{parts.{name}.{key}}}={value}: expected a straggler, with its _target_")
    if not others:
        raise SettingError(
            f"{{parts.{name}}}: it has no straggler; in a config one comes from the group, as in "
            f"+straggler@straggler.phases.parts.{name}=degraded"
        )
    return float(times[START]), float(times[END]), others


def _moved(row: Disturbance, start_s: float, length_s: float) -> Disturbance:
    """A row of a part, in the time of the run."""
    end_s = start_s + min(row.end_s, length_s)
    return Disturbance(row.kind, row.instance, start_s + row.start_s, end_s, row.factor, row.extra_ms, row.cluster)
