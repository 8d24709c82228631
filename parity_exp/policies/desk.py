"""The desk: batches, queues, deadlines and answers between a policy and the instances. Pure, as policies are.

It takes events with their times, and leaves what is to be done in two lists that whoever drives it takes away:
``placements``, tasks for instances, and ``responses``, answers for clients. The frontend drives it over a pool, a
simulation over a heap of events.

Rules:

- Every query is answered exactly once: by the policy, or at its deadline by the default; without deadlines by an error
  where nothing that is still to come could answer it (:attr:`Desk.is_stuck`).
- A placed task is ended by exactly one of ``finished``, ``failed`` and the loss of its instance.
- An instance has at most ``prefetch`` tasks at a time; a second copy of a batch is not placed where the first is, as
  long as another instance is free.
- Cancelled tasks leave the queues in bulk: a queue keeps at most :data:`COMPACT` of them, or as many as of others.
- Nothing that is over is kept, and no circles of references are left behind: garbage collection may be off.
"""

import heapq
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf

from parity_exp.policies.judge import Judge
from parity_exp.policies.policy import Batch, Group, Policy, Role, Source, State, Task

COMPACT = 64
"""Queues are searched for cancelled tasks from this many on."""

RETRY_S = 0.001
"""An instance that refuses a task while it has none is offered one again after this time."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to some queries of a batch.

    Attributes:
        batch: whose queries.
        elements: which of them.
        source: where the answer comes from.
        task: the task that gave it or completed it; None at a deadline.
        group: number of the coding group, -1 without one.
        place: the batch's place in its group.
        own: for a reconstruction: finished task of each member, or None.
        parities: for a reconstruction: finished task of each row, or None.
    """

    batch: Batch
    elements: Sequence[int]
    source: Source
    task: Task | None
    group: int = -1
    place: int = -1
    own: tuple[Task | None, ...] = ()
    parities: tuple[Task | None, ...] = ()


class Queues(ABC):
    """The queues of one role: tasks in, placements out.

    Args:
        role: which.
        first: number of its first instance.
        prefetch: tasks an instance may have at a time.

    Attributes:
        free: for each instance how many more tasks it may be given; 0 while it is down.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        self.instances = range(first, first + role.instances)
        self.prefetch = prefetch
        self.free = dict.fromkeys(self.instances, 0)

    @abstractmethod
    def add(self, task: Task, first: bool = False) -> None:
        """Queue a task, at the end or as the first; one that has an instance already was refused there."""

    @abstractmethod
    def cancelled(self, task: Task) -> None:
        """A queued task was cancelled."""

    @property
    def holds_tasks(self) -> bool:
        """Whether tasks are queued that an instance which comes back could do; True where a queue cannot tell."""
        return True

    def rest(self, instance: int) -> None:  # noqa: B027 - a queue that cannot is correct without, if slower
        """Give an instance low-priority work only, as long as others keep up with the rest."""

    def trust(self, instance: int) -> None:  # noqa: B027
        """Give it work like any other again."""

    @abstractmethod
    def place(self) -> Task | None:
        """Take a task out and give it the number of an instance with a free place; None when nothing fits."""

    def up(self, instance: int) -> None:
        """An instance is there, without tasks."""
        self.free[instance] = self.prefetch

    def freed(self, instance: int) -> None:
        """An instance has done a task."""
        self.free[instance] += 1

    def down(self, instance: int) -> None:
        """An instance is gone."""
        self.free[instance] = 0


class _Queue:
    """Tasks in order, without the cancelled ones."""

    def __init__(self) -> None:
        self.tasks: deque[Task] = deque()
        self.cancelled = 0

    def __len__(self) -> int:
        return len(self.tasks) - self.cancelled

    def add(self, task: Task, first: bool) -> None:
        if first:
            self.tasks.appendleft(task)
        else:
            self.tasks.append(task)

    def pop(self) -> Task:
        while True:
            task = self.tasks.popleft()
            if task.state is State.QUEUED:
                return task
            self.cancelled -= 1

    def cancel(self) -> None:
        self.cancelled += 1
        if self.cancelled > COMPACT and 2 * self.cancelled > len(self.tasks):
            self.tasks = deque(task for task in self.tasks if task.state is State.QUEUED)
            self.cancelled = 0


class SingleQueue(Queues):
    """One queue that all instances of the role pull from; ParM's default.

    A task goes to an instance with the fewest tasks, and of these to the one that has had no more for longest.

    An instance that rests has low-priority work only, one task at a time; other work where nobody else is there, or
    where more tasks are queued than there are instances, so that even a slow one is a help.

    Attributes:
        having: instances that have 0, 1, ... tasks and may be given one more, in the order in which they came to that,
            without those that rest; the values mean nothing. Whatever the number of instances, each step takes the same
            time.
        resting: instances that rest.
        resting_idle: those of them that have no task.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.normal, self.low = _Queue(), _Queue()
        self.reserve = role.reserve
        self.having: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(prefetch)]
        self.resting: set[int] = set()
        self.resting_idle: OrderedDict[int, None] = OrderedDict()
        self.there: set[int] = set()
        self.there_and_awake = 0

    def add(self, task: Task, first: bool = False) -> None:
        (self.low if task.low else self.normal).add(task, first)

    def cancelled(self, task: Task) -> None:
        (self.low if task.low else self.normal).cancel()

    @property
    def holds_tasks(self) -> bool:
        return bool(len(self.normal) or len(self.low))

    def rest(self, instance: int) -> None:
        if instance not in self.resting:
            self._leave(instance)
            self.resting.add(instance)
            self.there_and_awake -= instance in self.there
            self._offer(instance)

    def trust(self, instance: int) -> None:
        if instance in self.resting:
            self._leave(instance)
            self.resting.remove(instance)
            self.there_and_awake += instance in self.there
            self._offer(instance)

    def up(self, instance: int) -> None:
        super().up(instance)
        self.there.add(instance)
        self.there_and_awake += instance not in self.resting
        self._offer(instance)

    def freed(self, instance: int) -> None:
        self._leave(instance)
        super().freed(instance)
        self._offer(instance)

    def down(self, instance: int) -> None:
        self._leave(instance)
        super().down(instance)
        self.there.remove(instance)
        self.there_and_awake -= instance not in self.resting

    def place(self) -> Task | None:
        if len(self.normal):
            if any(self.having):
                task = self.normal.pop()
                instance = self._take_instance(task)
            elif self.resting_idle and (not self.there_and_awake or len(self.normal) > len(self.instances)):
                task = self.normal.pop()
                instance = self.resting_idle.popitem(last=False)[0]
            else:
                return None
        elif len(self.low) and len(self.having[0]) > self.reserve:
            task = self.low.pop()
            instance = self._take_instance(task)
        elif len(self.low) and self.resting_idle:
            task = self.low.pop()
            instance = self.resting_idle.popitem(last=False)[0]
        else:
            return None
        task.instance = instance
        self.free[instance] -= 1
        self._offer(instance)
        return task

    def _offer(self, instance: int) -> None:
        """Note that an instance may be given a task, if it may."""
        had = self.prefetch - self.free[instance]
        if had == self.prefetch:
            return
        if instance not in self.resting:
            self.having[had][instance] = None
        elif had == 0:
            self.resting_idle[instance] = None

    def _leave(self, instance: int) -> None:
        """Undo that."""
        had = self.prefetch - self.free[instance]
        if had == self.prefetch:
            return
        if instance not in self.resting:
            del self.having[had][instance]
        elif had == 0:
            del self.resting_idle[instance]

    def _take_instance(self, task: Task) -> int:
        taken = _taken(task)
        if taken:
            for instances in self.having:
                for instance in instances:
                    if instance not in taken:
                        del instances[instance]
                        return instance
        return next(filter(None, self.having)).popitem(last=False)[0]


class RoundRobin(Queues):
    """A queue an instance; tasks go to the instances in turn, however long their queues are.

    Low-priority work runs on instances that have nothing else to do; a role's ``reserve`` is of no use here, because
    what arrives goes to the next instance and not to a free one.

    An instance that rests is left out when other work is given out in turn, and what it had queued goes to the others;
    it has low-priority work only, and other work where nobody else is there, or where it has none and more tasks are
    queued than there are instances.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.normal = {instance: _Queue() for instance in self.instances}
        self.low = {instance: _Queue() for instance in self.instances}
        self.turn: OrderedDict[int, None] = OrderedDict()  # who is next comes first
        self.homeless = _Queue()
        self.ready: deque[int] = deque()
        self.resting: set[int] = set()
        self.queued = 0  # tasks that are not of low priority

    @property
    def holds_tasks(self) -> bool:
        return any(map(len, (*self.normal.values(), *self.low.values(), self.homeless)))

    def add(self, task: Task, first: bool = False) -> None:
        if task.instance < 0 and self.turn:
            task.instance = self._next_instance(task)
        self._queue(task).add(task, first)
        self.queued += not task.low
        if task.instance >= 0:
            self.ready.append(task.instance)

    def cancelled(self, task: Task) -> None:
        self._queue(task).cancel()
        self.queued -= not task.low

    def rest(self, instance: int) -> None:
        self.resting.add(instance)
        if self._awake():
            self._move(self.normal[instance])

    def trust(self, instance: int) -> None:
        self.resting.discard(instance)

    def up(self, instance: int) -> None:
        super().up(instance)
        self.turn[instance] = None
        self.ready.append(instance)
        self._move(self.homeless)

    def freed(self, instance: int) -> None:
        super().freed(instance)
        self.ready.append(instance)

    def down(self, instance: int) -> None:
        super().down(instance)
        del self.turn[instance]
        self._move(self.normal[instance])
        self._move(self.low[instance])

    def place(self) -> Task | None:
        while self.ready:
            instance = self.ready[0]
            free = self.free[instance]
            if free and len(self.normal[instance]):
                self.free[instance] -= 1
                self.queued -= 1
                return self.normal[instance].pop()
            if free == self.prefetch and len(self.low[instance]):
                self.free[instance] -= 1
                return self.low[instance].pop()
            self.ready.popleft()
        return None

    def _queue(self, task: Task) -> _Queue:
        if task.instance < 0:
            return self.homeless
        return (self.low if task.low else self.normal)[task.instance]

    def _next_instance(self, task: Task) -> int:
        taken = _taken(task, State.QUEUED)
        left_out = self._left_out(task)
        instance = -1
        for _ in range(len(self.turn)):
            following = next(iter(self.turn))
            self.turn.move_to_end(following)
            if following in left_out:
                continue
            instance = following
            if instance not in taken:
                break
        return instance

    def _left_out(self, task: Task) -> set[int]:
        """Instances that a task is not given to, because they rest."""
        if task.low or not self.resting or not self._awake():
            return _NONE
        if self.queued <= len(self.instances):
            return self.resting
        return {one for one in self.resting if self.free[one] < self.prefetch or len(self.normal[one])}

    def _awake(self) -> bool:
        """Whether an instance is there that does not rest."""
        return len(self.turn) > len(self.resting) or any(instance not in self.resting for instance in self.turn)

    def _move(self, queue: _Queue) -> None:
        """Queue what a queue holds anew."""
        for _ in range(len(queue)):
            task = queue.pop()
            self.queued -= not task.low
            task.instance = -1
            self.add(task)


def _taken(task: Task, *more: State) -> set[int]:
    """Instances that have another copy of a task's batch."""
    if task.batch is None or len(task.batch.tasks) == 1:
        return _NONE
    states = (State.PLACED, *more)
    return {other.instance for other in task.batch.tasks if other is not task and other.state in states}


_NONE: set[int] = set()


class Desk:
    """Runs a policy.

    Args:
        policy: decides; started by this.
        base_instances: m.
        queues: makes the queues of a role, :class:`SingleQueue` or :class:`RoundRobin`.
        prefetch: tasks an instance may have at a time.
        batch_size: queries in a batch.
        window_s: a batch that is not full is sent this long after its first query arrived.
        slo_s: deadline of a query, from its scheduled arrival; at the deadline it gets the default. Infinity: there is
            none.
        judge: compares outputs for policies that ask for it; the one of a simulation where it is left out.

    Attributes:
        placements: tasks for instances, to be taken away by the driver.
        responses: answers, likewise.
        roles: the kinds of instances, in the order of their numbers.
        unanswered: queries that have arrived and have no answer yet.
    """

    def __init__(
        self,
        policy: Policy,
        base_instances: int,
        queues: Callable[[Role, int, int], Queues] = SingleQueue,
        prefetch: int = 1,
        batch_size: int = 1,
        window_s: float = 0.0,
        slo_s: float = inf,
        judge: Judge | None = None,
    ) -> None:
        self.policy = policy
        self.judge = judge or Judge()
        self.roles = policy.roles(base_instances)
        self.batch_size = batch_size
        self.window_s = window_s
        self.slo_s = slo_s
        self.placements: list[Task] = []
        self.responses: list[Response] = []
        self._queues: dict[str, Queues] = {}
        self._of_instance: list[Queues] = []
        for role in self.roles:
            made = queues(role, len(self._of_instance), prefetch)
            self._queues[role.name] = made
            self._of_instance += [made] * role.instances
        self._changed = True
        self._running: list[set[Task]] = [set() for _ in self._of_instance]
        self._refused = [0] * len(self._of_instance)
        self._is_up = [False] * len(self._of_instance)
        self._is_gone = [False] * len(self._of_instance)
        self._forming: list[int] = []
        self._scheduled: list[float] = []
        self._close_batch_s = inf
        self._retry_s = inf
        self._timers: list[tuple[float, int, Batch]] = []
        self._timers_set = 0
        self._deadlines: deque[tuple[float, Batch, int]] = deque()
        self._waiting: dict[Batch, None] = {}  # without deadlines: what has no answer yet
        self._tasks = 0
        self.unanswered = 0
        policy.start(self)
        for instance in range(len(self._of_instance)):
            self.up(instance)

    @property
    def held(self) -> list[tuple[str, ...]]:
        """For each instance the models it has to hold."""
        return [role.models for role in self.roles for _ in range(role.instances)]

    # ---- events

    def arrive(self, query: int, scheduled_s: float, now_s: float) -> None:
        """A query is there.

        Args:
            query: its number.
            scheduled_s: when it should have been there, which its deadline counts from; never goes back.
            now_s: the time.
        """
        self.unanswered += 1
        self._forming.append(query)
        self._scheduled.append(scheduled_s)
        if len(self._forming) == self.batch_size:
            self._send_batch(now_s)
        elif len(self._forming) == 1:
            self._close_batch_s = min(now_s + self.window_s, scheduled_s + self.slo_s)

    def finished(self, task: Task, now_s: float, result: object = None) -> None:
        """An instance has done a task."""
        task.state = State.FINISHED
        task.result = result
        self._leave(task)
        self.policy.finished(task, now_s)

    def failed(self, task: Task, now_s: float) -> None:
        """A model raised on a task; the instance goes on."""
        task.state = State.FAILED
        self._leave(task)
        self.policy.failed(task, now_s)

    def refused(self, task: Task) -> None:
        """An instance did not take a task: queue it again, and give that instance nothing until it has done one.

        An instance that has none to do may be given one after :data:`RETRY_S`.
        """
        if task.state is not State.PLACED:
            return  # the instance is gone, and the task was given up with it
        instance = task.instance
        self._running[instance].discard(task)
        self._refused[instance] += 1
        self._retry_s = min(self._retry_s, task.placed_s + RETRY_S)
        task.state = State.QUEUED
        self._of_instance[instance].add(task, first=True)
        self._changed = True

    def down(self, instance: int, now_s: float, final: bool = False) -> None:
        """An instance is gone, with everything it had; if it is final, it does not come back."""
        self._is_gone[instance] = final
        if not self._is_up[instance]:
            return
        self._is_up[instance] = False
        self._refused[instance] = 0
        self._of_instance[instance].down(instance)
        self._changed = True
        lost, self._running[instance] = self._running[instance], set()
        for task in sorted(lost, key=lambda task: task.number):
            task.state = State.FAILED
            self.policy.failed(task, now_s)

    def up(self, instance: int) -> None:
        """An instance is there, or there again."""
        if self._is_up[instance]:
            return
        self._is_up[instance] = True
        self._of_instance[instance].up(instance)
        self._changed = True

    @property
    def is_stuck(self) -> bool:
        """Whether, if no more queries come, nothing can happen that would answer those without an answer.

        Nothing is due and no instance has work, and for those that may come back there is none.
        """
        if self.wakes_s() < inf or self.placements or self.responses or any(self._running):
            return False
        return not any(
            queues.holds_tasks and not up and not gone
            for queues, up, gone in zip(self._of_instance, self._is_up, self._is_gone, strict=True)
        )

    def give_up(self, now_s: float) -> None:
        """Answer what has no answer and no deadline by an error: for who finds that the desk is stuck."""
        for batch in list(self._waiting):
            self.respond(batch, Source.ERROR, None)
            self.policy.expired(batch, now_s)

    def wake(self, now_s: float) -> None:
        """Do what is due: a batching window that closes, timers, deadlines."""
        if self._close_batch_s <= now_s:
            self._send_batch(now_s)
        if self._retry_s <= now_s:
            self._retry()
        while self._timers and self._timers[0][0] <= now_s:
            batch = heapq.heappop(self._timers)[2]
            if not batch.answered:
                self.policy.timer(batch, now_s)
        deadlines = self._deadlines
        while deadlines and (deadlines[0][1].answered or deadlines[0][0] <= now_s):
            deadline_s, batch, element = deadlines.popleft()
            if deadline_s <= now_s and self._default(batch, element):
                self.policy.expired(batch, now_s)

    def wakes_s(self) -> float:
        """When :meth:`wake` has something to do, as far as is known; infinity when never."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1].answered:
            deadlines.popleft()
        timers = self._timers
        while timers and timers[0][2].answered:
            heapq.heappop(timers)
        first = self._close_batch_s
        if timers and timers[0][0] < first:
            first = timers[0][0]
        if deadlines and deadlines[0][0] < first:
            first = deadlines[0][0]
        if self._retry_s < first:
            first = self._retry_s
        return first

    def place(self, now_s: float) -> None:
        """Move tasks from queues to instances that are free, into ``placements``."""
        if not self._changed:
            return
        self._changed = False
        for queues in self._queues.values():
            while (task := queues.place()) is not None:
                task.state = State.PLACED
                task.placed_s = now_s
                task.number = self._tasks
                self._tasks += 1
                self._running[task.instance].add(task)
                self.placements.append(task)
                self.policy.placed(task, now_s)

    # ---- actions of the policy

    def dispatch(self, task: Task) -> None:
        task.state = State.QUEUED
        self._queues[task.role].add(task, task.urgent)
        self._changed = True

    def cancel(self, task: Task) -> None:
        if task.state is State.QUEUED:
            task.state = State.CANCELLED
            self._queues[task.role].cancelled(task)

    def respond(self, batch: Batch, source: Source, task: Task | None) -> None:
        if batch.answered:
            return
        elements: Sequence[int] = range(len(batch))
        if source is Source.RECONSTRUCTED:
            assert batch.group is not None
            elements = range(min(batch.group.elements, len(batch)))
        self._answer(batch, elements, source, task)

    def rest(self, instance: int) -> None:
        self._of_instance[instance].rest(instance)
        self._changed = True

    def trust(self, instance: int) -> None:
        self._of_instance[instance].trust(instance)
        self._changed = True

    def set_timer(self, at_s: float, batch: Batch) -> None:
        self._timers_set += 1
        heapq.heappush(self._timers, (at_s, self._timers_set, batch))

    def suspects(self, group: Group) -> Collection[int]:
        return self.judge.suspects(group)

    def agree(self, task: Task, other: Task) -> bool:
        return self.judge.agree(task, other)

    # ---- helpers

    def _send_batch(self, now_s: float) -> None:
        batch = Batch(tuple(self._forming), now_s)
        if self.slo_s == inf:
            self._waiting[batch] = None
        else:
            for element, scheduled_s in enumerate(self._scheduled):
                self._deadlines.append((scheduled_s + self.slo_s, batch, element))
        self._forming, self._scheduled, self._close_batch_s = [], [], inf
        self.policy.arrived(batch, now_s)

    def _leave(self, task: Task) -> None:
        """A task has left its instance, which goes on."""
        self._running[task.instance].discard(task)
        self._of_instance[task.instance].freed(task.instance)
        if self._refused[task.instance]:
            self._forgive(task.instance)
        self._changed = True

    def _retry(self) -> None:
        """Offer tasks again to instances that refused some and have none."""
        self._retry_s = inf
        self._changed = True
        for instance, refused in enumerate(self._refused):
            if refused and not self._running[instance]:
                self._forgive(instance)

    def _forgive(self, instance: int) -> None:
        """Give back the places of the tasks that an instance refused."""
        for _ in range(self._refused[instance]):
            self._of_instance[instance].freed(instance)
        self._refused[instance] = 0

    def _default(self, batch: Batch, element: int) -> bool:
        """Answer one element with the default; whether the whole batch has been answered by that."""
        if batch.answered:
            return False
        self._answer(batch, (element,), Source.DEFAULT, None)
        return batch.answered

    def _answer(self, batch: Batch, elements: Sequence[int], source: Source, task: Task | None) -> None:
        """Answer those of some elements that have no answer yet."""
        if batch.left is None and len(elements) < len(batch):
            batch.left = set(range(len(batch)))
        if batch.left is not None:
            elements = [element for element in elements if element in batch.left]
            batch.left.difference_update(elements)
            if not elements:
                return
        batch.answered = not batch.left
        if batch.answered:
            self._waiting.pop(batch, None)
        self.unanswered -= len(elements)
        group = batch.group
        if group is None:
            self.responses.append(Response(batch, elements, source, task))
            return
        place = group.members.index(batch)
        if source is Source.RECONSTRUCTED:
            own, parities = tuple(group.own), tuple(group.parities)
            self.responses.append(Response(batch, elements, source, task, group.number, place, own, parities))
        else:
            self.responses.append(Response(batch, elements, source, task, group.number, place))
