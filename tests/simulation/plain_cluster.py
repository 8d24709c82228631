"""A plain, slow calculation of when queries are answered, to hold the simulator against.

Independent of the product: no heap, no desk, no policy objects. Everything that could happen next is looked at, the
earliest happens, and lists are searched from end to end. An instance has one task at a time. No two events may fall on
the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

TRIES = 5

Slow = tuple[int, float, float, float, float]
"""Instance, begin, end, factor, extra seconds."""


@dataclass
class Job:
    """A query on its way through the base model (row -1), or a parity query of a group."""

    number: int
    row: int
    tries: int = 0
    state: str = "queued"
    where: int = -1
    heard_s: float = inf


@dataclass
class Server:
    pool: str
    up: bool = True
    idle_since: tuple[float, int] = (0.0, 0)
    job: Job | None = None
    back_s: float = inf
    queue: list[Job] = field(default_factory=list)


@dataclass
class Plain:
    """A scenario.

    Attributes:
        arrivals_s: of the queries.
        seconds: how long the model of a row (-1: base) takes for a query or group, by the number of the attempt at it.
        base: instances with the base model.
        parity: instances with parity models.
        k: queries in a group; 0 for no groups.
        r: parity queries of a group.
        copies: of each query, from the beginning.
        hedge_s: another copy is sent so long after a query was given to an instance; infinity: never.
        deadline_s: of a query.
        there_s: time of a message to an instance.
        back_s: time of a message from one.
        slow: slowdowns.
        kills: times and instances.
        restart_s: time until a killed instance is back.
        in_turn: a queue an instance, in turn.
    """

    arrivals_s: list[float]
    seconds: Callable[[int, int, int], float]
    base: int
    parity: int = 0
    k: int = 0
    r: int = 0
    copies: int = 1
    hedge_s: float = inf
    deadline_s: float = inf
    there_s: float = 0.0
    back_s: float = 0.0
    slow: list[Slow] = field(default_factory=list)
    kills: list[tuple[float, int]] = field(default_factory=list)
    restart_s: float = 1.0
    in_turn: bool = False

    def run(self) -> tuple[list[float], list[str]]:
        """When each query was answered, and by what: own, reconstructed or default."""
        count = len(self.arrivals_s)
        self.answered_s = [inf] * count
        self.source = [""] * count
        self.own = [False] * count
        self.rows: dict[int, set[int]] = {}
        self.jobs: list[Job] = []
        self.attempts: dict[tuple[int, int], int] = {}
        self.timers: list[tuple[float, int]] = []
        self.servers = [Server("base", idle_since=(0.0, turn)) for turn in range(self.base)]
        self.servers += [Server("parity", idle_since=(0.0, turn)) for turn in range(self.parity)]
        self.turn = 0
        self.arrived = 0
        kills = sorted(self.kills)
        while any(time_s == inf for time_s in self.answered_s):
            now_s = min(
                self.arrivals_s[self.arrived] if self.arrived < count else inf,
                min((job.heard_s for job in self.jobs if job.state == "running"), default=inf),
                min((server.back_s for server in self.servers), default=inf),
                kills[0][0] if kills else inf,
                min((due_s for due_s, query in self.timers if self.answered_s[query] == inf), default=inf),
                min(
                    (
                        self.arrivals_s[query] + self.deadline_s
                        for query in range(self.arrived)
                        if self.answered_s[query] == inf
                    ),
                    default=inf,
                ),
            )
            assert now_s < inf
            if self.arrived < count and self.arrivals_s[self.arrived] == now_s:
                self.arrive(now_s)
            for job in self.jobs:
                if job.state == "running" and job.heard_s == now_s:
                    self.heard(job, now_s)
            for server in self.servers:
                if server.back_s == now_s:
                    server.up, server.back_s, server.idle_since = True, inf, (now_s, 0)
            if kills and kills[0][0] == now_s:
                self.kill(kills.pop(0)[1], now_s)
            for due_s, query in list(self.timers):
                if due_s == now_s and self.answered_s[query] == inf:
                    self.hedge(query)
            self.timers = [(due_s, query) for due_s, query in self.timers if due_s > now_s]
            for query in range(self.arrived):
                if self.answered_s[query] == inf and self.arrivals_s[query] + self.deadline_s == now_s:
                    self.answer(query, "default", now_s)
                    self.look_at_group(query // self.k if self.k else -1, now_s)
            self.place(now_s)
        return self.answered_s, self.source

    # ---- what happens

    def arrive(self, now_s: float) -> None:
        query = self.arrived
        self.arrived += 1
        for _ in range(self.copies):
            self.queue(Job(query, -1))
        if self.k and self.arrived % self.k == 0:
            for row in range(self.r):
                self.queue(Job(query // self.k, row))

    def heard(self, job: Job, now_s: float) -> None:
        job.state = "done"
        self.servers[job.where].job = None
        self.servers[job.where].idle_since = (now_s, 0)
        if job.row >= 0:
            self.rows.setdefault(job.number, set()).add(job.row)
            self.look_at_group(job.number, now_s)
            return
        self.own[job.number] = True
        self.answer(job.number, "own", now_s)
        if self.k:
            self.look_at_group(job.number // self.k, now_s)

    def kill(self, instance: int, now_s: float) -> None:
        server = self.servers[instance]
        job, server.job, server.up, server.back_s = server.job, None, False, now_s + self.restart_s
        if job is None:
            return
        job.state = "lost"
        if job.row >= 0:
            useful = any(self.answered_s[query] == inf for query in self.members(job.number))
        else:
            useful = self.answered_s[job.number] == inf
        if useful and job.tries + 1 < TRIES:
            self.queue(Job(job.number, job.row, job.tries + 1))

    def hedge(self, query: int) -> None:
        alive = [job for job in self.jobs if job.row < 0 and job.number == query and job.state in ("queued", "running")]
        if len(alive) == 1 and alive[0].state == "running":
            self.queue(Job(query, -1, alive[0].tries))

    # ---- answers

    def members(self, group: int) -> range:
        return range(group * self.k, (group + 1) * self.k)

    def answer(self, query: int, source: str, now_s: float) -> None:
        if self.answered_s[query] < inf:
            return
        self.answered_s[query], self.source[query] = now_s, source
        for job in self.jobs:
            if job.row < 0 and job.number == query and job.state == "queued":
                job.state = "cancelled"

    def look_at_group(self, group: int, now_s: float) -> None:
        if not self.k or (group + 1) * self.k > self.arrived:
            return
        missing = [query for query in self.members(group) if not self.own[query]]
        waiting = [query for query in self.members(group) if self.answered_s[query] == inf]
        if waiting and len(missing) <= len(self.rows.get(group, ())):
            for query in waiting:
                self.answer(query, "reconstructed", now_s)
            waiting = []
        if not waiting:
            for job in self.jobs:
                if job.row >= 0 and job.number == group and job.state == "queued":
                    job.state = "cancelled"

    # ---- queues and instances

    def queue(self, job: Job) -> None:
        self.jobs.append(job)
        if self.in_turn and job.row < 0:
            # Without kills and parity: all instances are up and of one kind.
            others = [one.where for one in self.jobs if one is not job and self.is_copy(one, job)]
            for _ in self.servers:
                job.where = self.turn
                self.turn = (self.turn + 1) % len(self.servers)
                if job.where not in others:
                    break

    @staticmethod
    def is_copy(one: Job, job: Job) -> bool:
        return one.row < 0 and job.row < 0 and one.number == job.number and one.state in ("queued", "running")

    def place(self, now_s: float) -> None:
        for job in self.jobs:
            if job.state != "queued":
                continue
            pool = "base" if job.row < 0 else "parity"
            idle = [
                (server.idle_since, number)
                for number, server in enumerate(self.servers)
                if server.pool == pool
                and server.up
                and server.job is None
                and (not self.in_turn or number == job.where)
            ]
            if not idle:
                continue
            others = [one.where for one in self.jobs if one is not job and self.is_copy(one, job)]
            elsewhere = [entry for entry in idle if entry[1] not in others]
            self.begin(job, min(elsewhere or idle)[1], now_s)

    def begin(self, job: Job, instance: int, now_s: float) -> None:
        key = (job.row, job.number)
        attempt = self.attempts[key] = self.attempts.get(key, -1) + 1
        begin_s = now_s + self.there_s
        took_s, extra_s = self.seconds(job.row, job.number, attempt), 0.0
        for where, since_s, until_s, factor, extra in self.slow:
            if where == instance and since_s <= begin_s < until_s:
                took_s *= factor
                extra_s += extra
        job.state, job.where, job.heard_s = "running", instance, begin_s + took_s + extra_s + self.back_s
        self.servers[instance].job = job
        if job.row < 0 and self.hedge_s < inf:
            self.timers.append((now_s + self.hedge_s, job.number))
