"""The cluster in simulated time: a heap of events in place of instances, clocks and connections.

The desk and the policy are those that serve real instances, and they see the same events in the same order. Rules:

- An instance does its tasks one after the other, in the order in which it was given them. With a network, a task
  begins when its message has come and the task before it is done, and the desk learns of its end by another message.
- Events at the same time happen in this order: arrivals, then what was set off earlier. After each event the desk
  wakes and places, as in the frontend's loop.
- A kill takes an instance at once and with everything it had, results on their way included; it comes back empty.
- Several frontends have a desk each, with a policy and queues of its own; they meet in the instances alone. An
  instance does what it was given by any of them in the order in which it was sent.
- Only what is going on is kept: memory holds some fifty bytes a query and a task, and no object of one that is over.
"""

import gc
from array import array
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count, cycle, islice
from math import inf
from types import MethodType
from typing import ParamSpec, TypeVar

import numpy as np

from parity_exp.disturbances.trace import Disturbance
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import Policy, Role, Work
from parity_exp.policies.queues import Board, Queues, SingleQueue
from parity_exp.simulation.losses import Loss, Returns, losses_of
from parity_exp.simulation.outcome import RAISED, RUNNING, Outcome

P = ParamSpec("P")
R = TypeVar("R")

Service = Callable[[Work, float], float]
"""How long a placed task takes that its instance begins at a time; infinity: for ever."""

NEVER = Loss(inf, -1)

TELL = 2048
"""After the ends of so many tasks the progress is told again."""

_Event = tuple[float, int, Work | None, int, int, int]
"""When, a number that tells ties apart, the task, the instance, which of its lives, the frontend; no task: it is up."""


def quick(called: Callable[P, R]) -> Callable[P, R]:
    """The same without the detour that a call of an object with ``__call__`` takes."""
    method = getattr(called, "__call__", called)  # noqa: B004 - it is callable
    return method if isinstance(method, MethodType) else called


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave it to reference counts to free what is over."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_uncollected()
def simulate(
    policy: Policy | Sequence[Policy],
    arrivals_s: Sequence[float] | np.ndarray,
    service: Service,
    base_instances: int,
    *,
    trace: Sequence[Disturbance] = (),
    restart_s: Callable[[int, int], float] = lambda _instance, _time: 0.05,
    there_s: Callable[[Work], float] | None = None,
    back_s: Callable[[Work], float] | None = None,
    queues: Callable[[Role, int, int], Queues] = SingleQueue,
    prefetch: int = 1,
    batch_size: int = 1,
    window_s: float = 0.0,
    slo_s: float = inf,
    think_s: float | None = None,
    total: int | None = None,
    raises: Callable[[Work], bool] | None = None,
    interrupt_s: float | None = None,
    seed: int = 0,
    frontend_of: Sequence[int] | np.ndarray | None = None,
    progress: Callable[[int], None] = lambda _: None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Serve queries in simulated time, until each has its answer.

    With :class:`~parity_exp.policies.NoRedundancy`, one queue and nothing of the rest, this is the queue with
    ``base_instances`` servers, first come, first served.

    Args:
        policy: at the beginning of a run; of several frontends one for each.
        arrivals_s: ``(queries,)``, scheduled arrivals in seconds, ascending; of a closed loop each client's first.
        service: how long a task takes, in seconds, injected delays included, such as
            :class:`~parity_exp.simulation.ServiceTimes`. It is asked once for each task that is placed.
        base_instances: m; the policy says what comes on top.
        trace: its kills and absences are carried out; slowdowns are the business of ``service``.
        restart_s: how long a killed instance is gone that was lost so many times before; infinity: for good.
        there_s: how long a task's message to its instance travels; it is asked once for each task that is placed.
            Messages on the same way do not overtake each other. None: no time.
        back_s: how long the message from the instance travels, likewise.
        queues: as for :class:`~parity_exp.policies.desk.Desk`; so are ``prefetch``, ``batch_size``, ``window_s`` and
            ``slo_s``.
        think_s: of a closed loop: a client's next query follows this long after its answer. None for open loops.
        total: queries of a closed loop, of all clients.
        raises: whether the model raises on a task, at its end. None: never.
        interrupt_s: instances, which have one task at a time then (``prefetch`` of 1, one frontend), stop at work that
            is not needed any more, and are free so long after they were told. None: they cannot.
        seed: of what queues draw at random.
        frontend_of: ``(queries,)``, of several frontends the number of the one that each query goes to; None: to each
            in turn.
        progress: is told now and then how many queries have been answered.
        outcome: made by the caller, who wants to have it also after an interruption.

    Returns:
        What happened.
    """
    due_s = array("d", np.asarray(arrivals_s, dtype=np.float64)[:total].tobytes())
    total = len(due_s) if total is None else total
    outcome = Outcome(total) if outcome is None else outcome
    policies = [policy] if isinstance(policy, Policy) else list(policy)
    outcome.replaces_queries = policies[0].replaces_queries
    instances = sum(role.instances for role in policies[0].roles(base_instances))
    board = Board(instances, len(policies), history=back_s is not None)
    desks = [
        Desk(
            one, base_instances, queues, prefetch, batch_size, window_s, slo_s,
            seed=seed, board=board, frontend=frontend, frontends=len(policies),
            interrupts=interrupt_s is not None, tells=outcome.answered,
        )
        for frontend, one in enumerate(policies)
    ]  # fmt: skip
    cluster = _Cluster(
        desks, outcome, service, restart_s, there_s, back_s, raises, iter(losses_of(trace, instances)), interrupt_s
    )
    of = list(islice(cycle(range(len(desks))), total)) if frontend_of is None else np.asarray(frontend_of).tolist()
    outcome.frontend_of = np.array(of, dtype=np.int64) if len(desks) > 1 else None
    try:
        cluster.run(due_s, total, think_s, of, progress)
    finally:
        cluster.close()
    return outcome


class _Cluster:
    """The state of a run; see :func:`simulate`."""

    def __init__(
        self,
        desks: Sequence[Desk],
        outcome: Outcome,
        service: Service,
        restart_s: Callable[[int, int], float],
        there_s: Callable[[Work], float] | None,
        back_s: Callable[[Work], float] | None,
        raises: Callable[[Work], bool] | None,
        losses: Iterator[Loss],
        interrupt_s: float | None,
    ) -> None:
        self.desks = desks
        self.outcome = outcome
        self.service = service
        self.there_s = there_s
        self.back_s = back_s
        self.raises = raises
        self.losses = losses
        self.interrupt_s = interrupt_s
        self.event_of: dict[int, int] = {}  # where instances can be interrupted, the event at the end of each task
        self.void: set[int] = set()  # events that will not be
        self.stops: set[int] = set()  # events at which a task has been stopped
        instances = outcome.instances = desks[0].instances
        # Where several frontends meet, how long a task took says nothing of how long an instance worked at it.
        self.listens = desks[0].listens or (len(desks) > 1 and desks[0].policy.needs_durations)
        self.events: list[_Event] = []
        self.due_s = array("d")
        self.sent = 0
        self.numbers = count()
        self.spans_s: dict[int, tuple[float, float]] = {}  # of tasks under way, where queues want to know
        self.done_s = [0.0] * instances  # when an instance is through with what it has
        self.heard_s = [0.0] * instances  # when its last message so far comes
        self.told_s = [0.0] * instances  # when the last message to it so far comes
        self.returns = Returns(restart_s, instances)
        self.lives = [0] * instances  # how often each was lost
        self.deaths_s: list[list[float]] = [[] for _ in range(instances)]

    def run(
        self,
        due_s: "array[float]",
        total: int,
        think_s: float | None,
        frontend_of: Sequence[int],
        progress: Callable[[int], None],
    ) -> None:
        """Serve until every query has its answer, or nothing will ever happen again."""
        self.due_s = due_s
        due_s.append(inf)  # nobody comes after the last
        desks, events, outcome = self.desks, self.events, self.outcome
        service, there_s, back_s = quick(self.service), self.there_s, self.back_s
        numbers, done_s, lives = self.numbers, self.done_s, self.lives
        listens, interrupts = self.listens, self.interrupt_s is not None
        usual = self.raises is None and not interrupts and not listens
        placed = outcome.placed
        loss = next(self.losses, NEVER)
        while loss.start_s <= 0 and loss.until_s is not None:  # not there from the beginning
            self._lose(loss)
            loss = next(self.losses, NEVER)
        everyone = tuple(desks)
        alone = [(desk,) for desk in desks]
        arrival_s, loss_s = due_s[0], loss.start_s
        sent = thought = turn = tasks = 0
        for desk in desks:
            desk.wakes_s()
        wake_s = min([desk.due_s for desk in desks])
        only = desks[0] if len(desks) == 1 else None
        touched: tuple[Desk, ...]
        while outcome.answers < total:
            event_s = events[0][0] if events else inf
            if arrival_s <= event_s and arrival_s <= wake_s and arrival_s <= loss_s:
                now_s = arrival_s
                if now_s == inf:
                    now_s = outcome.now_s
                    answered = outcome.answers
                    for desk in desks:
                        if desk.is_stuck:
                            desk.give_up(now_s)
                    if outcome.answers == answered:
                        break
                    touched = everyone
                else:
                    outcome.now_s = now_s
                    touched = alone[frontend_of[sent]]
                    sent = self.sent = sent + 1
                    touched[0].arrive(sent - 1, now_s, now_s)
                    arrival_s = due_s[sent]
            elif event_s <= wake_s and event_s <= loss_s:
                outcome.now_s = now_s = event_s
                event = heappop(events)
                _, _, task, instance, life, frontend = event
                if task is None:
                    touched = everyone
                    self._handle(event)
                else:
                    touched = alone[frontend]
                    if usual and life == lives[instance]:  # as `_handle` has it, without a call
                        touched[0].finished(task, now_s)
                    else:
                        self._handle(event)
                turn += 1
                if turn == TELL:
                    turn = 0
                    progress(outcome.answers)
            else:
                # What a desk had to do may have become needless since it was noted.
                due = [desk.wakes_s() for desk in desks]
                if min(due) > wake_s:
                    wake_s = min(due)
                    continue
                if loss_s <= wake_s and loss is not NEVER:
                    outcome.now_s = now_s = loss_s
                    touched = everyone
                    self._lose(loss)
                    loss = next(self.losses, NEVER)
                    loss_s = loss.start_s
                else:
                    outcome.now_s = now_s = wake_s
                    touched = alone[due.index(wake_s)]
            for desk in touched:
                if desk.due_s <= now_s:
                    desk.wake(now_s)
                    desk.wakes_s()
                else:
                    desk.now_s = now_s
                if desk.changed:
                    desk.place(now_s)
                if desk.placements:
                    frontend = desk.frontend
                    for task in desk.placements:
                        instance = task.instance
                        task.number = tasks  # over all frontends
                        begin_s = now_s
                        if there_s is not None:
                            begin_s = self.told_s[instance] = max(self.told_s[instance], now_s + there_s(task))
                        if begin_s < done_s[instance]:
                            begin_s = done_s[instance]
                        # When it will begin and end is known now.
                        end_s = done_s[instance] = begin_s + service(task, begin_s)
                        placed(task, now_s, begin_s, end_s)
                        if listens:
                            self.spans_s[tasks] = begin_s, end_s
                        if back_s is not None:
                            end_s = self.heard_s[instance] = max(self.heard_s[instance], end_s + back_s(task))
                        number = next(numbers)
                        if interrupts:
                            self.event_of[tasks] = number
                        heappush(events, (end_s, number, task, instance, lives[instance], frontend))
                        tasks += 1
                    desk.placements.clear()
                if interrupts and desk.stops:
                    for task in desk.stops:
                        self._stop(task, now_s, desk.frontend)
                    desk.stops.clear()
            if think_s is not None:
                while thought < outcome.answers:
                    insort(due_s, now_s + think_s, lo=sent)
                    thought += 1
                arrival_s = due_s[sent] if sent < total else inf
            wake_s = only.due_s if only is not None else min([desk.due_s for desk in desks])
        progress(outcome.answers)

    def close(self) -> None:
        """Put on record what has arrived, what is not done, and what was lost without anybody having noticed yet."""
        self.outcome.arrived(self.due_s[: self.sent])
        for _, number, task, instance, life, _ in self.events:
            if number in self.void or task is None:
                continue
            if life != self.lives[instance]:
                self.outcome.lost_task(task.number, self.deaths_s[instance][life])
            else:
                self.outcome.ended(task.number, RUNNING)

    def _stop(self, task: Work, now_s: float, frontend: int) -> None:
        """An instance is told to stop at a task, unless it will be done before it could."""
        assert self.interrupt_s is not None
        instance, end_s = task.instance, now_s + self.interrupt_s
        if end_s >= self.done_s[instance]:
            return
        self.void.add(self.event_of[task.number])
        self.done_s[instance] = end_s
        number = self.event_of[task.number] = next(self.numbers)
        self.stops.add(number)
        heappush(self.events, (end_s, number, task, instance, self.lives[instance], frontend))

    def _handle(self, event: _Event) -> None:
        now_s, number, task, instance, life, frontend = event
        if self.interrupt_s is not None and task is not None:
            if number in self.void:
                self.void.remove(number)
                return
            self.event_of.pop(task.number, None)
            if number in self.stops:
                self.stops.remove(number)
                self.spans_s.pop(task.number, None)
                if life == self.lives[instance]:
                    self.outcome.stopped_task(task.number, now_s)
                    self.desks[frontend].stopped(task, now_s)
                    return
        if task is None:
            if life == self.lives[instance]:
                for desk in self.desks:
                    desk.up(instance)
        elif life != self.lives[instance]:
            self.spans_s.pop(task.number, None)
            self.outcome.lost_task(task.number, self.deaths_s[instance][life])
        elif self.raises is not None and self.raises(task):
            self.spans_s.pop(task.number, None)
            self.outcome.ended(task.number, RAISED)
            self.desks[frontend].failed(task, now_s)
        else:
            if self.listens:
                begun_s, ended_s = self.spans_s.pop(task.number)
                self.desks[frontend].finished(task, now_s, None, ended_s, ended_s - begun_s)
            else:
                self.desks[frontend].finished(task, now_s)

    def _lose(self, loss: Loss) -> None:
        instance, now_s = loss.instance, loss.start_s
        back_s = self.returns.after(loss)
        self.deaths_s[instance].append(now_s)
        self.lives[instance] += 1
        self.done_s[instance] = self.heard_s[instance] = self.told_s[instance] = 0.0
        for desk in self.desks:
            desk.down(instance, now_s)
        heappush(self.events, (back_s, next(self.numbers), None, instance, self.lives[instance], -1))
