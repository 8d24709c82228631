"""A cluster in simulated time, to test policies without processes and without waiting."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from parity_exp.serving.desk import Desk, Queues, Response, SingleQueue
from parity_exp.serving.policy import Policy, Source, Task

Service = Callable[[int, Task, float], float]
"""How long an instance takes for a task that it begins at a time; infinity when it hangs."""

ARRIVE, FINISH, KILL, UP = range(4)


@dataclass
class Outcome:
    """What became of the queries, in the order of their numbers."""

    latency_s: list[float]
    source: list[Source]
    answers: list[int]
    placed: list[Task]

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.latency_s)
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def simulate(
    policy: Policy,
    arrivals_s: Sequence[float],
    service: Service,
    base_instances: int,
    *,
    kills: Iterable[tuple[float, int]] = (),
    restart_s: float = 0.05,
    raises: Callable[[Task], bool] = lambda _: False,
    queues: type[Queues] = SingleQueue,
    prefetch: int = 1,
    batch_size: int = 1,
    window_s: float = 0.0,
    slo_s: float = 60.0,
    watch: Callable[[float, Desk], None] | None = None,
    placed: list[Task] | None = None,
) -> Outcome:
    """Serve queries that arrive at given times, and return when every one has its answer.

    Args:
        policy: under test.
        arrivals_s: scheduled arrivals, ascending.
        service: how long tasks take.
        base_instances: m.
        kills: times, and the instances that die then.
        restart_s: a killed instance is back after this time; infinity: never.
        raises: whether the model raises on a task, which takes as long.
        queues: as for the desk; so are ``prefetch``, ``batch_size``, ``window_s`` and ``slo_s``.
        watch: is called after each event with the time and the desk.
        placed: list for the placed tasks, for who wants to forget them on the way.
    """
    desk = Desk(policy, base_instances, queues, prefetch, batch_size, window_s, slo_s)
    outcome = Outcome(
        [0.0] * len(arrivals_s),
        [Source.DEFAULT] * len(arrivals_s),
        [0] * len(arrivals_s),
        [] if placed is None else placed,
    )
    instances = len(desk.held)
    waiting: list[list[Task]] = [[] for _ in range(instances)]
    life = [0] * instances
    events: list[tuple[float, int, int, int, Task | None, int]] = []
    count = 0

    def push(at_s: float, kind: int, number: int, task: Task | None = None, life_then: int = 0) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (at_s, count, kind, number, task, life_then))

    def begin(instance: int, now_s: float) -> None:
        task = waiting[instance][0]
        push(now_s + service(instance, task, now_s), FINISH, instance, task, life[instance])

    for query, at_s in enumerate(arrivals_s):
        push(at_s, ARRIVE, query)
    for at_s, instance in kills:
        push(at_s, KILL, instance)
    arrived = 0
    while desk.unanswered or arrived < len(arrivals_s):
        at_s = min(events[0][0] if events else float("inf"), desk.wakes_s())
        assert at_s < float("inf"), "nothing will ever happen, and queries wait"
        if events and events[0][0] <= at_s:
            at_s, _, kind, number, task, life_then = heapq.heappop(events)
            if kind == ARRIVE:
                arrived += 1
                desk.arrive(number, at_s, at_s)
            elif kind == FINISH and life_then == life[number]:
                assert task is not None and waiting[number].pop(0) is task
                if raises(task):
                    desk.failed(task, at_s)
                else:
                    desk.finished(task, at_s, result=task.model)
                if waiting[number]:
                    begin(number, at_s)
            elif kind == KILL and number < instances:
                life[number] += 1
                waiting[number].clear()
                desk.down(number, at_s)
                push(at_s + restart_s, UP, number, None, life[number])
            elif kind == UP and life_then == life[number]:
                desk.up(number)
        desk.wake(at_s)
        desk.place(at_s)
        for task in desk.placements:
            outcome.placed.append(task)
            waiting[task.instance].append(task)
            if len(waiting[task.instance]) == 1:
                begin(task.instance, at_s)
        desk.placements.clear()
        for response in desk.responses:
            _take(outcome, response, arrivals_s, at_s)
        desk.responses.clear()
        if watch is not None:
            watch(at_s, desk)
    return outcome


def _take(outcome: Outcome, response: Response, arrivals_s: Sequence[float], now_s: float) -> None:
    for element in response.elements:
        query = response.batch.queries[element]
        outcome.answers[query] += 1
        outcome.latency_s[query] = now_s - arrivals_s[query]
        outcome.source[query] = response.source
