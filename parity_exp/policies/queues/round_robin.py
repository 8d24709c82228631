"""A queue an instance; work goes to the instances in turn."""

from collections import OrderedDict, deque

from parity_exp.policies.queues.in_order import InOrder
from parity_exp.policies.queues.queues import NOWHERE, Queues
from parity_exp.policies.role import Role
from parity_exp.policies.work import State, Work


class RoundRobin(Queues):
    """A queue an instance; work goes to the instances in turn, however long their queues are.

    Low-priority work runs on instances that have nothing else to do. That it should leave some free is of no use here,
    because what arrives goes to the next instance and not to a free one.

    An instance that rests is left out when other work is given out in turn, and what it had queued goes to the others;
    it has low-priority work only, and other work where nobody else is there, or where it has none and more is queued
    than there are instances.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.normal = {instance: InOrder() for instance in self.instances}
        self.low = {instance: InOrder() for instance in self.instances}
        self.queue_of: dict[Work, int] = {}  # in which instance's queue work is, unless nobody is there
        self.turn: OrderedDict[int, None] = OrderedDict()  # who is next comes first
        self.homeless = InOrder()
        self.ready: deque[int] = deque()
        self.resting: set[int] = set()
        self.queued = 0  # how much that is not of low priority

    @property
    def holds_tasks(self) -> bool:
        return any(map(len, (*self.normal.values(), *self.low.values(), self.homeless)))

    def add(self, work: Work, first: bool = False) -> None:
        self._put(work, self._next_instance(work) if self.turn else -1, first)

    def refused(self, work: Work, instance: int) -> None:
        self._put(work, instance, True)

    def cancelled(self, work: Work) -> None:
        self.queued -= not work.low
        instance = self.queue_of.pop(work, -1)
        if instance < 0:
            self.homeless.cancel()
        else:
            (self.low if work.low else self.normal)[instance].cancel()

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

    def place(self) -> Work | None:
        while self.ready:
            instance = self.ready[0]
            free = self.free[instance]
            if free and len(self.normal[instance]):
                self.queued -= 1
                work = self.normal[instance].pop()
            elif free == self.prefetch and len(self.low[instance]):
                work = self.low[instance].pop()
            else:
                self.ready.popleft()
                continue
            self.free[instance] -= 1
            del self.queue_of[work]
            work.instance = instance
            return work
        return None

    def _put(self, work: Work, instance: int, first: bool) -> None:
        """Queue work for an instance, or for whoever comes back: -1."""
        self.queued += not work.low
        if instance < 0:
            self.homeless.add(work, first)
            return
        self.queue_of[work] = instance
        (self.low if work.low else self.normal)[instance].add(work, first)
        self.ready.append(instance)

    def _next_instance(self, work: Work) -> int:
        busy = self._taken(work)
        left_out = self._left_out(work)
        instance = -1
        for _ in range(len(self.turn)):
            following = next(iter(self.turn))
            self.turn.move_to_end(following)
            if following in left_out:
                continue
            instance = following
            if instance not in busy:
                break
        return instance

    def _taken(self, work: Work) -> set[int]:
        """Instances that are busy with another copy of a batch's work, or have one queued."""
        batch = work.batch
        if batch is None or len(batch.under_way) == 1:
            return NOWHERE
        others = [other for other in batch.under_way if other is not work]
        placed = {other.instance for other in others if other.state is State.PLACED}
        return placed | {self.queue_of.get(other, -1) for other in others if other.state is State.QUEUED}

    def _left_out(self, work: Work) -> set[int]:
        """Instances that work is not given to, because they rest."""
        if work.low or not self.resting or not self._awake():
            return NOWHERE
        if self.queued <= len(self.instances):
            return self.resting
        return {one for one in self.resting if self.free[one] < self.prefetch or len(self.normal[one])}

    def _awake(self) -> bool:
        """Whether an instance is there that does not rest."""
        return len(self.turn) > len(self.resting) or any(instance not in self.resting for instance in self.turn)

    def _move(self, queue: InOrder) -> None:
        """Queue what a queue holds anew."""
        for _ in range(len(queue)):
            work = queue.pop()
            self.queue_of.pop(work, None)
            self.queued -= not work.low
            self.add(work)
