"""A queue an instance; probes say which has little to do and answers soon."""

from collections import deque
from math import ceil, inf
from typing import Annotated

from annotated_types import Ge, Gt, Le

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work
from parity_exp.ranges import Delay, Few, Positive, Share

RECENT = 128
"""Loads told by the latest probes, from which the quantile is taken."""

LEAST = 2
"""With fewer probes in its pool a frontend chooses at random."""


class _Probe:
    """What a probe has told.

    Attributes:
        instance: of which.
        load: its requests in flight, and what this frontend has given it since.
        latency_s: how long it thought that work would take.
        at_s: when the probe came back.
        uses: how often it may still be used.
    """

    __slots__ = ("at_s", "instance", "latency_s", "load", "uses")

    def __init__(self, instance: int, load: int, latency_s: float, at_s: float, uses: float) -> None:
        self.instance = instance
        self.load = load
        self.latency_s = latency_s
        self.at_s = at_s
        self.uses = uses


class Prequal(PerInstance):
    """Probing to reduce queuing and latency (Wydrowski, Kleinberg, Rumble and Archer, NSDI 2024, arXiv 2312.10172).

    With each query a frontend sends ``probes`` probes to instances at random, whose answers serve later queries: the
    requests in flight (RIF) and the latency that the instance expects, the median of its latest ones at about this RIF.
    A pool holds the latest ``pool`` of them, for ``age_ms`` at most. An instance is hot whose RIF is above the
    ``q_rif`` quantile of what the latest probes have told. Of the cold ones in the pool the one with the least latency
    is chosen; where all are hot, the one with the least RIF (the hot-cold lexicographic rule, section 4).

    A probe counts what its frontend has given the instance since. It is used ``max(1, (1 + delta) / ((1 - m / n) p -
    q))`` times, with m the size of the pool, n the number of instances, p ``probes`` and q ``remove``. For each query
    ``remove`` probes leave the pool, in turn the oldest and the worst: of hot ones that with the highest RIF, else the
    slowest. With fewer than two probes an instance is chosen at random.

    Args:
        probes: for each query.
        pool: how many are kept.
        age_ms: for how long.
        q_rif: the quantile that tells hot from cold: 0 looks at RIF alone, 1 at latency alone.
        remove: probes that leave the pool with each query, beside those that are used up or too old.
        delta: how much a probe is used beyond what keeps the pool full.
        probe_ms: how long a probe takes, there and back; what it tells is as old as half of that.
    """

    def __init__(
        self,
        role: Role,
        first: int,
        prefetch: int,
        probes: Annotated[float, Gt(0), Le(100)] = 3.0,
        pool: Few = 16,
        age_ms: Positive = 1000.0,
        q_rif: Share = 0.84,
        remove: Annotated[float, Ge(0), Le(100)] = 1.0,
        delta: Annotated[float, Ge(0), Le(100)] = 1.0,
        probe_ms: Delay = 0.5,
    ) -> None:
        super().__init__(role, first, prefetch)
        self.probes = probes
        self.size = pool
        self.age_s = age_ms / 1e3
        self.q_rif = q_rif
        self.remove = remove
        self.delay_s = probe_ms / 1e3
        kept = (1 - min(pool / len(self.instances), 1.0)) * probes - remove
        self.uses = max(1.0, (1 + delta) / kept) if kept > 0 else inf
        self.pool: deque[_Probe] = deque()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._arrived: dict[Work, tuple[float, int]] = {}  # when work came, and to what load
        self._to_send = self._to_remove = 0.0
        self._worst_next = False

    # ---- what it learns

    def given(self, work: Work, instance: int) -> None:
        self.own[instance] += 1
        now_s = self.around.now_s
        self._arrived[work] = now_s, self.around.board.given(instance, now_s)

    def rid(self, work: Work, instance: int) -> int:
        self._arrived.pop(work, None)
        return super().rid(work, instance)

    def ended(self, work: Work, finished: bool, told_s: float, took_s: float | None) -> None:
        since_s, load = self._arrived[work]
        if finished:
            self.around.board.took(work.instance, load, told_s - since_s)
        super().ended(work, finished, told_s, took_s)

    def probed(self, instance: int, load: int, latency_s: float) -> None:
        self._recent.append(load)
        if len(self.pool) == self.size:
            self.pool.popleft()
        self.pool.append(_Probe(instance, load, latency_s, self.around.now_s, self.uses))

    # ---- what it does

    def choose(self, work: Work) -> int:
        pool, now_s = self.pool, self.around.now_s
        while pool and pool[0].at_s < now_s - self.age_s:
            pool.popleft()
        self._remove_some()
        shunned = self.shunned(work)
        fitting = [probe for probe in pool if probe.instance in self._place_of and probe.instance not in shunned]
        if len(fitting) < LEAST:
            instance = self.one(work)
        else:
            best = min(fitting, key=self._rank())
            instance = best.instance
            best.uses -= 1
            if best.uses <= 0:
                pool.remove(best)
        for probe in pool:
            if probe.instance == instance:
                probe.load += 1
        self._send_probes()
        return instance

    def _rank(self) -> "_Rank":
        ordered = sorted(self._recent)
        return _Rank(ordered[max(0, ceil(self.q_rif * len(ordered)) - 1)] if self.q_rif < 1 else inf)

    def _remove_some(self) -> None:
        self._to_remove += self.remove
        while self._to_remove >= 1:
            self._to_remove -= 1
            if len(self.pool) <= LEAST:
                continue
            if self._worst_next:
                self.pool.remove(max(self.pool, key=self._rank()))
            else:
                self.pool.popleft()
            self._worst_next = not self._worst_next

    def _send_probes(self) -> None:
        self._to_send += self.probes
        count = min(int(self._to_send), len(self.there))
        self._to_send -= int(self._to_send)
        for instance in self.random.sample(self.there, count):
            self.around.probe(self, instance, self.delay_s)


class _Rank:
    """Ranks probes, the best first: cold ones by latency, then hot ones by load."""

    def __init__(self, hot_above: float) -> None:
        self.hot_above = hot_above

    def __call__(self, probe: _Probe) -> tuple[bool, float]:
        hot = probe.load > self.hot_above
        return hot, probe.load if hot else probe.latency_s
