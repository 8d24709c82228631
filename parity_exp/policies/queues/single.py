"""One queue that all instances of a role pull from."""

from parity_exp.policies.queues.in_order import InOrder
from parity_exp.policies.queues.line import Line
from parity_exp.policies.queues.queues import Queues, has_copy_at, taken
from parity_exp.policies.role import Role
from parity_exp.policies.work import QUEUED, Work


class SingleQueue(Queues):
    """One queue that all instances of the role pull from; ParM's default.

    Work goes to an instance that has least to do, and of these to the one that has had no more for longest.

    An instance that rests has low-priority work only, one piece at a time; other work where nobody else is there, or
    where more is queued than there are instances, so that even a slow one is a help.

    Attributes:
        having: instances that have 0, 1, ... pieces of work and may be given one more, in the order in which they came
            to that, without those that rest.
        resting: instances that rest.
        resting_idle: those of them that have nothing to do.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.normal, self.low = InOrder(), InOrder()
        self.tells = type(self) is SingleQueue  # one that is derived from it may keep work elsewhere
        self.left_free = 0
        self.having = [Line() for _ in range(prefetch)]
        self.resting_idle = Line()
        self.there: set[int] = set()
        self.there_and_awake = 0

    def add(self, work: Work, first: bool = False) -> None:
        self.is_empty = False
        queue = self.low if work.low else self.normal
        queue.size += 1
        if first:
            queue.work.appendleft(work)
        else:
            queue.work.append(work)

    def cancelled(self, work: Work) -> None:
        (self.low if work.low else self.normal).cancel()

    @property
    def idle(self) -> int:
        return self.having[0].size + self.resting_idle.size

    @property
    def holds_tasks(self) -> bool:
        return bool(self.normal.size or self.low.size)

    @property
    def waiting(self) -> int:
        return self.normal.size + self.low.size

    def leave_free(self, instances: int) -> None:
        self.left_free = instances

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
        free = self.free[instance]
        if free:
            self._leave(instance)
        self.free[instance] = free = free + 1
        if self.resting and instance in self.resting:
            self._offer(instance)
        else:
            self.having[self.prefetch - free].append(instance)

    def down(self, instance: int) -> None:
        self._leave(instance)
        super().down(instance)
        self.there.remove(instance)
        self.there_and_awake -= instance not in self.resting

    def place(self) -> Work | None:
        normal, low, line = self.normal, self.low, self.having[0]
        if normal.size:
            queue = normal
            if not line and (self.prefetch == 1 or not any(self.having)):
                line = self.resting_idle
                if not line or (self.there_and_awake and normal.size <= len(self.instances)):
                    return None
        elif low.size:
            queue = low
            if len(line) - line.gaps <= self.left_free:
                line = self.resting_idle
                if not line:
                    return None
        else:
            self.is_empty = self.tells
            return None
        queue.size -= 1  # as `pop` has it, without a call
        work = queue.work.popleft()
        while work.state is not QUEUED:
            queue.cancelled -= 1
            work = queue.work.popleft()
        batch = work.batch
        alone = batch is None or len(batch.under_way) == 1
        if line and not line.gaps and (alone or not has_copy_at(work, line[0])):
            instance = line.popleft()
        elif line is self.resting_idle:
            instance = line.first()
        else:
            instance = self._take_instance(work)
        if self.tells and not normal.size and not low.size:
            self.is_empty = True
        work.instance = instance
        free = self.free[instance] = self.free[instance] - 1
        if free:
            self._offer(instance)
        return work

    def _offer(self, instance: int) -> None:
        """Note that an instance may be given something to do, if it may."""
        had = self.prefetch - self.free[instance]
        if had == self.prefetch:
            return
        if instance not in self.resting:
            self.having[had].append(instance)
        elif had == 0:
            self.resting_idle.append(instance)

    def _leave(self, instance: int) -> None:
        """Undo that."""
        had = self.prefetch - self.free[instance]
        if had == self.prefetch:
            return
        if instance not in self.resting:
            self.having[had].leave(instance)
        elif had == 0:
            self.resting_idle.leave(instance)

    def _take_instance(self, work: Work) -> int:
        batch = work.batch
        if batch is not None and len(batch.under_way) > 1:
            busy = taken(work)
            for instances in self.having:
                instance = instances.first_but(busy)
                if instance is not None:
                    return instance
        for instances in self.having:
            if instances:
                return instances.first()
        raise AssertionError("nobody may be given work")
