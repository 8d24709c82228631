"""What every queue discipline is: it takes work in, and says which instance is to do what next."""

from abc import ABC, abstractmethod

from parity_exp.policies.role import Role
from parity_exp.policies.work import State, Work


class Queues(ABC):
    """The queues of one role: work in, placements out.

    ``leave_free``, ``rest`` and ``trust`` are for policies that have a say in who is given what
    (:meth:`parity_exp.policies.policy.Actions.queues`). A discipline that cannot do that is correct without, if slower.

    Args:
        role: which.
        first: number of its first instance.
        prefetch: how much an instance may have at a time.

    Attributes:
        free: for each instance how much more it may be given; 0 while it is down.
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        self.instances = range(first, first + role.instances)
        self.prefetch = prefetch
        self.free = dict.fromkeys(self.instances, 0)

    @abstractmethod
    def add(self, work: Work, first: bool = False) -> None:
        """Queue work, at the end or as the first."""

    def refused(self, work: Work, instance: int) -> None:
        """Queue work again, as the first, that an instance was given and did not take."""
        self.add(work, first=True)

    @abstractmethod
    def cancelled(self, work: Work) -> None:
        """Queued work was cancelled."""

    @property
    def idle(self) -> int:
        """How many instances are there and have nothing to do."""
        return sum(free == self.prefetch for free in self.free.values())

    @property
    def holds_tasks(self) -> bool:
        """Whether work is queued that an instance which comes back could do; True where a queue cannot tell."""
        return True

    def leave_free(self, instances: int) -> None:  # noqa: B027
        """Low-priority work leaves so many idle instances free for what may arrive."""

    def rest(self, instance: int) -> None:  # noqa: B027
        """Give an instance low-priority work only, as long as others keep up with the rest."""

    def trust(self, instance: int) -> None:  # noqa: B027
        """Give it work like any other again."""

    @abstractmethod
    def place(self) -> Work | None:
        """Take work out and give it the number of an instance with a free place; None when nothing fits."""

    def up(self, instance: int) -> None:
        """An instance is there, with nothing to do."""
        self.free[instance] = self.prefetch

    def freed(self, instance: int) -> None:
        """An instance has done something."""
        self.free[instance] += 1

    def down(self, instance: int) -> None:
        """An instance is gone."""
        self.free[instance] = 0


NOWHERE: set[int] = set()


def taken(work: Work) -> set[int]:
    """Instances that are busy with another copy of a batch's work."""
    batch = work.batch
    if batch is None or len(batch.under_way) == 1:
        return NOWHERE
    return {other.instance for other in batch.under_way if other is not work and other.state is State.PLACED}
