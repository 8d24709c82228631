"""A queue an instance: what is common to all disciplines that choose an instance for work when it comes."""

from abc import abstractmethod
from collections import deque
from random import Random

from parity_exp.policies.queues.in_order import InOrder
from parity_exp.policies.queues.queues import NOWHERE, Queues, Surroundings
from parity_exp.policies.role import Role
from parity_exp.policies.work import State, Work


class PerInstance(Queues):
    """A queue an instance; :meth:`choose` says whose work is.

    The queues are the frontend's: an instance has at most ``prefetch`` pieces of work of a frontend in its hands, and
    what is behind them can still be cancelled. Low-priority work runs on instances that have nothing else to do. That
    it should leave some free is of no use here, because what arrives goes to an instance at once and not to a free one.

    An instance that rests is left out when other work is given out, and what it had queued goes to the others; it has
    low-priority work only, and other work where nobody else is there, or where it has none and more is queued than
    there are instances.

    Attributes:
        there: instances that are up, in no order.
        own: for each instance how much of this frontend's work it has, waiting or in its hands.
        random: what is drawn at random; the same for the same seed, frontend and role.
    """

    listens = True

    random: Random

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.normal = {instance: InOrder() for instance in self.instances}
        self.low = {instance: InOrder() for instance in self.instances}
        self.queue_of: dict[Work, int] = {}  # in which instance's queue work is, unless nobody is there
        self.there: list[int] = []
        self.own = dict.fromkeys(self.instances, 0)
        self.homeless = InOrder()
        self.ready: deque[int] = deque()
        self.resting: set[int] = set()
        self.queued = 0  # how much that is not of low priority
        self._place_of: dict[int, int] = {}

    @abstractmethod
    def choose(self, work: Work) -> int:
        """The instance that new work goes to; one is there at least."""

    # ---- what happens

    def begin(self, around: Surroundings) -> None:
        self.around = around
        self.random = Random(f"{around.seed} {around.frontend} {self.instances.start}")

    @property
    def holds_tasks(self) -> bool:
        return any(map(len, (*self.normal.values(), *self.low.values(), self.homeless)))

    def waiting_for(self, instance: int) -> int:
        return self.normal[instance].size + self.low[instance].size

    @property
    def waiting(self) -> int:
        return self.homeless.size

    def add(self, work: Work, first: bool = False) -> None:
        self._put(work, self.choose(work) if self.there else -1, first)

    def refused(self, work: Work, instance: int) -> None:
        self.rid(work, instance)
        self._put(work, instance, True)

    def cancelled(self, work: Work) -> None:
        self.queued -= not work.low
        instance = self.queue_of.pop(work, -1)
        if instance < 0:
            self.homeless.cancel()
        else:
            (self.low if work.low else self.normal)[instance].cancel()
            self.rid(work, instance)

    def ended(self, work: Work, finished: bool, told_s: float, took_s: float | None) -> None:
        self.rid(work, work.instance)

    def rest(self, instance: int) -> None:
        self.resting.add(instance)
        if self._awake():
            self._move(self.normal[instance])

    def trust(self, instance: int) -> None:
        self.resting.discard(instance)

    def up(self, instance: int) -> None:
        super().up(instance)
        self._place_of[instance] = len(self.there)
        self.there.append(instance)
        self.ready.append(instance)
        self._move(self.homeless)

    def freed(self, instance: int) -> None:
        super().freed(instance)
        self.ready.append(instance)

    def down(self, instance: int) -> None:
        super().down(instance)
        last = self.there.pop()
        place = self._place_of.pop(instance)
        if last != instance:
            self.there[place] = last
            self._place_of[last] = place
        self._move(self.normal[instance])
        self._move(self.low[instance])

    def place(self) -> Work | None:
        while self.ready:
            instance = self.ready[0]
            free = self.free[instance]
            if free and self.normal[instance].size:
                self.queued -= 1
                work = self.normal[instance].pop()
            elif free == self.prefetch and self.low[instance].size:
                work = self.low[instance].pop()
            else:
                self.ready.popleft()
                continue
            self.free[instance] -= 1
            del self.queue_of[work]
            work.instance = instance
            return work
        return None

    # ---- for disciplines

    def given(self, work: Work, instance: int) -> None:
        """Work is an instance's now, to wait in its queue or to be done."""
        self.own[instance] += 1
        self.around.board.given(instance, self.around.now_s)

    def rid(self, work: Work, instance: int) -> int:
        """It is no longer: done, cancelled, or another's; the instance's load without it."""
        self.own[instance] -= 1
        return self.around.board.rid(instance, self.around.now_s)

    def shunned(self, work: Work) -> set[int]:
        """Instances that work should not go to, as they rest or have another copy; not all that are there."""
        left_out, busy = self.left_out(work), self.taken(work)
        if not busy:
            return left_out
        both = busy | left_out
        return left_out if all(instance in both for instance in self.there) else both

    def some(self, count: int, work: Work) -> list[int]:
        """So many different instances at random that work may go to, or as many as there are; at least one."""
        shunned = self.shunned(work)
        if not shunned and count < len(self.there):
            return self.random.sample(self.there, count)
        fitting = [instance for instance in self.there if instance not in shunned]
        return self.random.sample(fitting, min(count, len(fitting)))

    def one(self, work: Work) -> int:
        """An instance at random that work may go to."""
        if len(work.batch.under_way if work.batch is not None else ()) <= 1 and not self.resting:
            return self.there[int(self.random.random() * len(self.there))]
        return self.some(1, work)[0]

    def taken(self, work: Work) -> set[int]:
        """Instances that are busy with another copy of a batch's work, or have one queued."""
        batch = work.batch
        if batch is None or len(batch.under_way) == 1:
            return NOWHERE
        others = [other for other in batch.under_way if other is not work]
        placed = {other.instance for other in others if other.state is State.PLACED}
        return placed | {self.queue_of.get(other, -1) for other in others if other.state is State.QUEUED}

    def left_out(self, work: Work) -> set[int]:
        """Instances that work is not given to, because they rest."""
        if work.low or not self.resting or not self._awake():
            return NOWHERE
        if self.queued <= len(self.instances):
            return self.resting
        slow = {one for one in self.resting if self.free[one] < self.prefetch or len(self.normal[one])}
        return NOWHERE if all(instance in slow for instance in self.there) else slow

    # ---- helpers

    def _put(self, work: Work, instance: int, first: bool) -> None:
        """Queue work for an instance, or for whoever comes back: -1."""
        self.queued += not work.low
        if instance < 0:
            self.homeless.add(work, first)
            return
        self.queue_of[work] = instance
        (self.low if work.low else self.normal)[instance].add(work, first)
        self.ready.append(instance)
        self.given(work, instance)

    def _awake(self) -> bool:
        """Whether an instance is there that does not rest."""
        return len(self.there) > len(self.resting) or any(instance not in self.resting for instance in self.there)

    def _move(self, queue: InOrder) -> None:
        """Queue what a queue holds anew."""
        for _ in range(len(queue)):
            work = queue.pop()
            instance = self.queue_of.pop(work, -1)
            if instance >= 0:
                self.rid(work, instance)
            self.queued -= not work.low
            self.add(work)
