"""Some instances give wrong answers: silent faults of hardware or software, which no time-out notices."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le, MinLen

from parity_exp.checks import SettingError
from parity_exp.disturbances.nested import shuffled
from parity_exp.disturbances.slots import late_slots, slot_seconds
from parity_exp.disturbances.straggler import Straggler, those_there
from parity_exp.disturbances.trace import Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.ranges import Delay, Factor, Instance, Period, Share


class Corrupt(Straggler):
    """Tasks of some instances give wrong outputs, in time and without an error.

    :class:`~parity_exp.disturbances.timeline.Fault` says what each kind does. Tasks go wrong independently of each
    other, or all of them with a probability of 1; see ``slots`` for how that becomes a trace.

    Args:
        kind: ``garbage``, ``stuck`` or ``nan``.
        count: how many instances, at random; more than there are means all.
        instances: which ones; None: as many as ``count`` says.
        probability: that a task of theirs goes wrong.
        scale: of garbage: how large it is, in root mean squares of the true output.
        start_s: since when.
        end_s: until when; None: for good.
        slot_ms: how long a slot is; None: a quarter of the service time, but at least 1 ms.
    """

    def __init__(
        self,
        kind: Literal["garbage", "stuck", "nan"] = "garbage",
        count: Annotated[int, Ge(1), Le(10**6)] = 1,
        instances: Annotated[Sequence[Instance], MinLen(1)] | None = None,
        probability: Share = 0.1,
        scale: Factor = 1.0,
        start_s: Delay = 0.0,
        end_s: Delay | None = None,
        slot_ms: Period | None = None,
    ) -> None:
        if end_s is not None and end_s < start_s:
            raise SettingError(f"{{end_s}}={end_s:g}: expected a number at least {start_s:g}, which is {{start_s}}")
        self.kind = kind
        self.count = count
        self.instances = None if instances is None else sorted({int(one) for one in instances})
        self.probability = float(probability)
        self.scale = float(scale)
        self.start_s = float(start_s)
        self.end_s = None if end_s is None else float(end_s)
        self.slot_ms = slot_ms

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        choice, tasks = random.spawn(2)
        end_s = duration_s if self.end_s is None else min(self.end_s, duration_s)
        if 0 < self.probability < 1:
            slot_s = slot_seconds(self.slot_ms, service_s)
            spoilt = instances if self.instances is None else len(self.instances)
            slots = min(spoilt, self.count if self.instances is None else spoilt) * end_s / slot_s
            check_size(duration_s, self.probability * slots, slots)
        streams = tasks.spawn(instances)
        return [
            Disturbance(self.kind, instance, start_s, stop_s, self.scale)
            for instance in self._chosen(instances, choice)
            for start_s, stop_s in self._spans(end_s, streams[instance], service_s)
        ]

    def named(self) -> Sequence[int]:
        return self.instances or ()

    def _chosen(self, instances: int, random: np.random.Generator) -> list[int]:
        drawn = shuffled(instances, random)
        if self.instances is None:
            return sorted(drawn[: self.count])
        return those_there("instances", self.instances, instances)

    def _spans(self, end_s: float, random: np.random.Generator, service_s: float) -> list[tuple[float, float]]:
        if self.start_s >= end_s:
            return []
        if self.probability == 1:
            return [(self.start_s, end_s)]
        slot_s = slot_seconds(self.slot_ms, service_s)
        starts = self.start_s + slot_s * late_slots(random, end_s - self.start_s, slot_s, self.probability)
        return [(start_s, start_s + slot_s) for start_s in starts.tolist()]
