"""What every queue discipline is: it takes work in, and says which instance is to do what next."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from parity_exp.policies.queues.board import Board
from parity_exp.policies.role import Role
from parity_exp.policies.work import PLACED, Work


class Surroundings(Protocol):
    """What queues find around them.

    Attributes:
        now_s: the time.
        board: what instances know of themselves.
        frontend: which of the frontends this is.
        frontends: how many there are.
        seed: of what is drawn at random.
    """

    now_s: float
    board: Board
    frontend: int
    frontends: int
    seed: int

    def probe(self, queues: "Queues", instance: int, delay_s: float) -> None:
        """Ask an instance of its load and its latency: ``queues.probed`` is told after the delay, there and back."""


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
        resting: instances that rest; none where the discipline knows no rest.
        changed: for who drives the queues: something has happened since :meth:`place` last found nothing.
        is_empty: nothing is queued, so that :meth:`place` need not be asked; False where a discipline cannot tell.
    """

    listens: ClassVar[bool] = False
    """Whether it wants to know of the end of work: ``ended`` is called."""

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        self.instances = range(first, first + role.instances)
        self.prefetch = prefetch
        self.free = dict.fromkeys(self.instances, 0)
        self.resting: set[int] = set()
        self.changed = True
        self.is_empty = False

    def begin(self, around: Surroundings) -> None:  # noqa: B027
        """Begin a run."""

    def ended(self, work: Work, finished: bool, told_s: float, took_s: float | None) -> None:  # noqa: B027
        """Work has left its instance.

        Args:
            work: which was finished, has failed or is lost.
            finished: whether it was.
            told_s: when the instance said so.
            took_s: how long it worked at it; None where that is not known.
        """

    def probed(self, instance: int, load: int, latency_s: float) -> None:  # noqa: B027
        """A probe is back: what an instance's load was, and how long it thought that work would take; 0: no idea."""

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

    def waiting_for(self, instance: int) -> int:
        """How much work waits for an instance and for no other."""
        return 0

    @property
    def waiting(self) -> int:
        """How much work waits for whoever can take it."""
        return 0

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


def has_copy_at(work: Work, instance: int) -> bool:
    """Whether an instance is busy with another copy of a batch's work, which has more than one."""
    assert work.batch is not None
    for other in work.batch.under_way:
        if other.instance == instance and other.state is PLACED:
            break
    else:
        return False
    return True


def taken(work: Work) -> set[int]:
    """Instances that are busy with another copy of a batch's work."""
    batch = work.batch
    if batch is None or len(batch.under_way) == 1:
        return NOWHERE
    return {other.instance for other in batch.under_way if other is not work and other.state is PLACED}
