"""Single tasks take longer, with a given probability and a given distribution of the extra time."""

import numpy as np

from parity_exp.disturbances.distribution import Distribution
from parity_exp.disturbances.slots import late_slots, slot_seconds
from parity_exp.disturbances.straggler import Straggler
from parity_exp.disturbances.trace import LARGEST, SLOW, Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.ranges import Period, Positive, Share


class Slowdown(Straggler):
    """Every task of every instance is late with a probability; see ``slots`` for how that becomes a trace.

    Args:
        probability: that a task is late.
        distribution: of the extra time, in units.
        unit_ms: the unit; None: the service time.
        slot_ms: how long a slot is; None: a quarter of the service time, but at least 1 ms.
    """

    def __init__(
        self,
        probability: Share,
        distribution: Distribution,
        unit_ms: Positive | None = None,
        slot_ms: Period | None = None,
    ) -> None:
        self.probability = probability
        self.distribution = distribution
        self.unit_ms = unit_ms
        self.slot_ms = slot_ms

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        slot_s = slot_seconds(self.slot_ms, service_s)
        unit_ms = service_s * 1000 if self.unit_ms is None else self.unit_ms
        slots = instances * duration_s / slot_s
        check_size(duration_s, self.probability * slots, slots)
        rows = []
        for instance, stream in enumerate(random.spawn(instances)):
            lateness, amounts = stream.spawn(2)
            late = late_slots(lateness, duration_s, slot_s, self.probability)
            extra_ms = np.minimum(self.distribution.draw(amounts, len(late)) * unit_ms, LARGEST)
            rows += [
                Disturbance(SLOW, instance, slot * slot_s, (slot + 1) * slot_s, extra_ms=extra)
                for slot, extra in zip(late.tolist(), extra_ms.tolist(), strict=True)
            ]
        return rows
