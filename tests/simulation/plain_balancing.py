"""Load balancing over instances with a queue each, calculated plainly: no code of the product, one loop over arrivals.

Every instance serves in the order of arrival. A rule sees what its frontend may know, and names an instance.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

Rule = Callable[[int, float], int]
"""Which instance a query of a frontend goes to, at a time."""


class Plain:
    """Instances, and what has been sent to them.

    Args:
        instances: how many.
        frontends: how many.
        seed: of what rules draw.

    Attributes:
        load: of each instance, work in its hands included.
        own: for each frontend the part of it that is its own.
    """

    def __init__(self, instances: int, frontends: int = 1, seed: int = 0) -> None:
        self.dice = random.Random(seed)
        self.load = [0] * instances
        self.own = [[0] * instances for _ in range(frontends)]
        self.free_s = [0.0] * instances
        self.ends: list[tuple[float, int, int, float, int]] = []
        self.on_end: Callable[[int, int, float, int, float], None] = lambda *_: None
        self.until: Callable[[float], None] = lambda _: None

    def latencies_s(
        self, arrivals_s: Sequence[float], services_s: Sequence[float], frontend_of: Sequence[int], rule: Rule
    ) -> list[float]:
        """Latencies of queries in the order of their arrivals."""
        latencies_s = []
        for now_s, service_s, frontend in zip(arrivals_s, services_s, frontend_of, strict=True):
            self.go_on(now_s)
            instance = rule(frontend, now_s)
            end_s = self.free_s[instance] = max(now_s, self.free_s[instance]) + service_s
            self.load[instance] += 1
            self.own[frontend][instance] += 1
            heapq.heappush(self.ends, (end_s, frontend, instance, now_s, self.load[instance]))
            latencies_s.append(end_s - now_s)
        return latencies_s

    def go_on(self, now_s: float) -> None:
        """Let everything end that ends until a time."""
        while self.ends and self.ends[0][0] <= now_s:
            end_s, frontend, instance, since_s, load = heapq.heappop(self.ends)
            self.until(end_s)
            self.load[instance] -= 1
            self.own[frontend][instance] -= 1
            self.on_end(frontend, instance, since_s, load, end_s)
        self.until(now_s)

    # ---- rules

    def at_random(self, frontend: int, now_s: float) -> int:
        return self.dice.randrange(len(self.load))

    def shortest_of(self, d: int) -> Rule:
        """The power of d choices, by a frontend's own work."""

        def rule(frontend: int, now_s: float) -> int:
            return min(self.dice.sample(range(len(self.load)), d), key=self.own[frontend].__getitem__)

        return rule

    def shortest(self, frontend: int, now_s: float) -> int:
        least = min(self.own[frontend])
        return self.dice.choice([one for one, load in enumerate(self.own[frontend]) if load == least])

    def idle_first(self) -> Rule:
        """Join idle queue."""
        idle = [deque[int]() for _ in self.own]
        waits = [False] * len(self.load)

        def say(frontend: int, instance: int, *_: float) -> None:
            if not self.load[instance] and not waits[instance]:
                waits[instance] = True
                idle[self.dice.randrange(len(idle))].append(instance)

        self.on_end = say
        for instance in range(len(self.load)):
            say(0, instance)

        def rule(frontend: int, now_s: float) -> int:
            if not idle[frontend]:
                return self.at_random(frontend, now_s)
            instance = idle[frontend].popleft()
            waits[instance] = False
            return instance

        return rule

    def prequal(self, q_rif: float, probe_s: float, probes: int = 3, size: int = 16, age_s: float = 1.0) -> Rule:
        """Prequal of one frontend, over so many instances that every answer is used as often as the paper says."""
        instances = len(self.load)
        uses = max(1.0, 2 / ((1 - size / instances) * probes - 1))
        pool: list[dict[str, float]] = []  # the oldest first
        recent: deque[int] = deque(maxlen=128)
        took: list[dict[int, deque[float]]] = [{} for _ in range(instances)]
        asked: deque[tuple[float, int]] = deque()
        told: deque[tuple[float, int, int, float]] = deque()
        turns = [0]

        def on_end(frontend: int, instance: int, since_s: float, load: int, end_s: float) -> None:
            took[instance].setdefault(load, deque(maxlen=16)).append(end_s - since_s)

        def until(now_s: float) -> None:
            while asked and asked[0][0] <= now_s:
                at_s, instance = asked.popleft()
                known = took[instance]
                near = min(known, key=lambda load: (abs(load - self.load[instance] - 1), load), default=None)
                latency_s = 0.0 if near is None else median(known[near])
                told.append((at_s + probe_s / 2, instance, self.load[instance], latency_s))
            while told and told[0][0] <= now_s:
                at_s, instance, load, latency_s = told.popleft()
                recent.append(load)
                pool.append({"of": instance, "load": load, "latency": latency_s, "at": at_s, "uses": uses})
                del pool[:-size]

        def badness(hot_above: int) -> Callable[[dict[str, float]], tuple[bool, float]]:
            return lambda probe: (True, probe["load"]) if probe["load"] > hot_above else (False, probe["latency"])

        def rule(frontend: int, now_s: float) -> int:
            pool[:] = [probe for probe in pool if probe["at"] >= now_s - age_s]
            hot_above = sorted(recent)[max(0, -int(-q_rif * len(recent) // 1) - 1)] if recent else 0
            if len(pool) > 2:
                turns[0] += 1
                worst = max(pool, key=badness(hot_above)) if turns[0] % 2 == 0 else pool[0]
                pool[:] = [probe for probe in pool if probe is not worst]
            if len(pool) < 2:
                instance = self.at_random(frontend, now_s)
            else:
                best = min(pool, key=badness(hot_above))
                instance = int(best["of"])
                best["uses"] -= 1
                pool[:] = [probe for probe in pool if probe["uses"] > 0]
            for probe in pool:
                probe["load"] += probe["of"] == instance
            asked.extend((now_s + probe_s / 2, one) for one in self.dice.sample(range(instances), probes))
            return instance

        self.on_end, self.until = on_end, until
        return rule

    def cubic(self, weight: float = 0.9) -> Rule:
        """C3's ranking, by scores of all instances."""
        response_s: dict[tuple[int, int], float] = {}
        service_s: dict[tuple[int, int], float] = {}
        queue: dict[tuple[int, int], float] = {}
        clear_s = [0.0] * len(self.load)  # when an instance ended its last piece of work

        def on_end(frontend: int, instance: int, since_s: float, load: int, end_s: float) -> None:
            worked_s = end_s - max(since_s, clear_s[instance])
            clear_s[instance] = end_s
            for means, value in ((response_s, end_s - since_s), (service_s, worked_s), (queue, self.load[instance])):
                before = means.get((frontend, instance), value)
                means[frontend, instance] = (1 - weight) * before + weight * value

        def score(frontend: int, instance: int) -> float:
            own = self.own[frontend][instance]
            key = frontend, instance
            if key not in queue:
                return own - 1e9
            estimate = 1 + own * len(self.own) + queue[key]
            return response_s[key] - service_s[key] + estimate**3 * service_s[key]

        def rule(frontend: int, now_s: float) -> int:
            return min(range(len(self.load)), key=lambda one: (score(frontend, one), self.dice.random()))

        self.on_end = on_end
        return rule
