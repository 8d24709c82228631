"""Network transfers between instances slow the two at their ends: the background load of ParM's evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from parity_exp.checks import SettingError
from parity_exp.disturbances.nested import two_each
from parity_exp.disturbances.slots import late_slots, slot_seconds
from parity_exp.disturbances.straggler import Straggler
from parity_exp.disturbances.trace import SLOW, Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.ranges import Period, Positive, Share

SHORTEST_S, LONGEST_S = 1e-3, 600.0
"""Of a transfer. Shorter ones would be too many to follow, longer ones change a cluster for good."""

PER_TRANSFER = 6
"""Instances for each transfer: the evaluation of ParM has 2 to 5 over 18 instances."""


@dataclass(frozen=True)
class Transfer:
    """Data on their way between two different instances."""

    start_s: float
    end_s: float
    between: tuple[int, int]


class Shuffle(Straggler):
    """Concurrent transfers, each between a random pair of instances, then the next pair at once.

    A transfer moves a number of megabytes drawn uniformly from ``[low_mb, high_mb]`` at ``rate_mb_per_s``. Who runs 2
    to 5 of them over 12 to 24 instances has the background load of ParM's clusters (Parity Models, SOSP 2019,
    section 5). While an instance has c transfers, a task that it begins is late with a probability, by an exponential
    time of mean c times ``mean_extra`` units; see ``slots`` for how that becomes a trace. With the default strength and
    a service time of 25 ms, that is one task in ten, by 150 ms for each transfer.

    A pair is uniform among all instances of a cluster. Clusters of two sizes have the same transfers at the same times,
    the larger one some more behind them where their number grows, and a transfer has another pair in the larger cluster
    only where that has one of the additional instances in it. So of 18 and 24 instances 18 x 17 / (24 x 23), or 55 %,
    of the common transfers join the same two.

    Args:
        transfers: how many there are at any time; None: one for every six instances, about as in those clusters.
        low_mb: least size of a transfer.
        high_mb: largest size.
        rate_mb_per_s: how fast one moves.
        probability: that a task on an instance with transfers is late.
        mean_extra: by how much for each transfer, in units.
        unit_ms: the unit; None: the service time.
        slot_ms: how long a slot is; None: a quarter of the service time, but at least 1 ms.
    """

    settings_in_words: ClassVar = {"mean_extra": "delay of a task beside a transfer, in service times"}

    def __init__(
        self,
        transfers: Annotated[int, Ge(1), Le(10**4)] | None = None,
        low_mb: Positive = 128,
        high_mb: Positive = 256,
        rate_mb_per_s: Positive = 125,
        probability: Share = 0.1,
        mean_extra: Annotated[float, Ge(0), Le(10**6)] = 6.0,
        unit_ms: Positive | None = None,
        slot_ms: Period | None = None,
    ) -> None:
        self.transfers = transfers
        self.low_mb = float(low_mb)
        self.high_mb = float(high_mb)
        self.rate_mb_per_s = float(rate_mb_per_s)
        if high_mb < low_mb:
            raise SettingError(f"{{high_mb}}={high_mb}: expected a number at least {low_mb:g}, which is {{low_mb}}")
        longest_s, shortest_s = self.high_mb / self.rate_mb_per_s, self.low_mb / self.rate_mb_per_s
        if longest_s > LONGEST_S or shortest_s < SHORTEST_S:
            raise SettingError(
                f"{{low_mb}}={low_mb}, {{high_mb}}={high_mb}, {{rate_mb_per_s}}={rate_mb_per_s}: transfers would "
                f"take {shortest_s:g} to {longest_s:g} s; expected {SHORTEST_S:g} to {LONGEST_S:g}"
            )
        self.probability = probability
        self.mean_extra = mean_extra
        self.unit_ms = unit_ms
        self.slot_ms = slot_ms

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        slot_s = slot_seconds(self.slot_ms, service_s)
        slowed = min(2 * self._count(instances), instances)
        check_size(duration_s, slowed * self.probability * duration_s / slot_s, instances * duration_s / slot_s)
        network, cluster = random.spawn(2)
        transfers = self.schedule(instances, duration_s, network)
        mean_ms = self.mean_extra * (service_s * 1000 if self.unit_ms is None else self.unit_ms)
        until_s = max(transfer.end_s for transfer in transfers)
        own: list[list[Transfer]] = [[] for _ in range(instances)]
        for transfer in transfers:
            for instance in transfer.between:
                own[instance].append(transfer)
        rows = []
        for instance, stream in enumerate(cluster.spawn(instances)):
            lateness, amounts = stream.spawn(2)
            late = late_slots(lateness, until_s, slot_s, self.probability)
            extra_ms = amounts.exponential(mean_ms, len(late))
            for start_s, end_s, count in crowded(own[instance], instance):
                first = np.searchsorted(late, start_s // slot_s)
                last = np.searchsorted(late, end_s // slot_s, side="right")
                for slot, extra in zip(late[first:last].tolist(), extra_ms[first:last].tolist(), strict=True):
                    # A slot in which a transfer begins or ends is late in part.
                    since_s, to_s = max(start_s, slot * slot_s), min(end_s, (slot + 1) * slot_s)
                    if since_s < to_s:
                        rows.append(Disturbance(SLOW, instance, since_s, to_s, extra_ms=count * extra))
        return rows

    def _count(self, instances: int) -> int:
        """Transfers at any time."""
        return self.transfers or max(1, round(instances / PER_TRANSFER))

    def schedule(self, instances: int, duration_s: float, random: np.random.Generator) -> list[Transfer]:
        """All transfers that begin before the trace ends.

        Raises:
            SettingError: fewer than two instances.
        """
        if instances < 2:
            raise SettingError(f"transfers go between two instances, but there is {instances}; raise {{/instances}}")
        check_size(duration_s, self._count(instances) * (1 + duration_s * self.rate_mb_per_s / self.low_mb))
        schedule = []
        for stream in random.spawn(self._count(instances)):
            sizes, pairs = stream.spawn(2)
            edges_s = [0.0]
            while edges_s[-1] < duration_s:
                edges_s.append(edges_s[-1] + sizes.uniform(self.low_mb, self.high_mb) / self.rate_mb_per_s)
            ones, others = (ends.tolist() for ends in two_each(instances, len(edges_s) - 1, pairs))
            schedule += [
                Transfer(start_s, end_s, between)
                for (start_s, end_s), between in zip(pairwise(edges_s), zip(ones, others, strict=True), strict=True)
            ]
        return schedule


def crowded(transfers: Sequence[Transfer], instance: int) -> Iterator[tuple[float, float, int]]:
    """When an instance has how many transfers: ``(start_s, end_s, count)``, where there is at least one."""
    own = [transfer for transfer in transfers if instance in transfer.between]
    changes = sorted([(one.start_s, 1) for one in own] + [(one.end_s, -1) for one in own])
    count = 0
    for (time_s, change), (next_s, _) in pairwise(changes):
        count += change
        if count and next_s > time_s:
            yield time_s, next_s, count
