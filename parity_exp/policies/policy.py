"""What every redundancy policy is: a state machine that decides what is sent where and when, and what answers a query.

Rules of this file and of everything in ``policies``:

- No I/O, no clocks, no tensors, no random numbers. Time comes in with each event; what a policy wants done goes out
  through :class:`Actions`. So the same object runs over real processes, over a cluster, and in simulated time.
- Events come in one at a time, in the order of time. A policy may call its actions while it handles one.
- Who drives a policy (:class:`parity_exp.policies.desk.Desk`) keeps the queues and the deadlines. It places a queued
  task on an instance when one is free, it never places a cancelled task, and it delivers exactly one of
  ``finished`` and ``failed`` for every task that was placed.
- A policy may respond to a batch as often as it likes: only the first answer to a query counts. It must see to it
  that one comes, whatever instances do, and let go of batches and groups that are over, so that memory stays bounded.
  Garbage collection may be off, so what is over must not be part of a circle of references.

How work is cut: queries arrive and are put into batches of ``batch_size`` (1 unless chosen otherwise); a batch is what
one task of a base model works on. A coding group is k consecutive batches, encoded element by element (Parity Models,
SOSP 2019, section 4.1).

To write your own policy, subclass :class:`Policy`, implement :meth:`Policy.roles` and :meth:`Policy.arrived`, and point
a YAML file's ``_target_`` at the class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Protocol

from parity_exp.policies.look import Look

BASE, BACKUP = "base", "backup"
"""Names of models: the base model, and the small one of an approximate backup."""

TRIES = 5
"""A task whose instance died or whose model raised is sent again until it has been tried this often."""


def parity_model(row: int) -> str:
    """Name of the parity model of a row of the generator matrix."""
    return f"parity-{row}"


class Source(IntEnum):
    """What answered a query."""

    OWN = 0
    RECONSTRUCTED = 1
    BACKUP = 2
    DEFAULT = 3
    ERROR = 4


SOURCES = tuple(source.name.lower() for source in Source)
"""Names of the sources, as files have them, in the order of :class:`Source`."""


class State(IntEnum):
    """Where a task is."""

    NEW = 0
    QUEUED = 1
    PLACED = 2
    FINISHED = 3
    FAILED = 4
    CANCELLED = 5


class Batch:
    """Queries that go through a model together.

    Attributes:
        queries: their numbers.
        arrived_s: when the batch was complete.
        answered: every query in it has its answer.
        tasks: those that would answer it directly and are queued or placed.
        spare: a finished task whose result a policy keeps until the batch is answered.
        group: its coding group, until that is over.
        hopeless: it has been tried :data:`TRIES` times in vain, and nothing is under way that would answer it directly.
        left: the desk's: elements without an answer, once some of several have one.
    """

    __slots__ = ("answered", "arrived_s", "group", "hopeless", "left", "queries", "spare", "tasks")

    def __init__(self, queries: tuple[int, ...], arrived_s: float) -> None:
        self.queries = queries
        self.arrived_s = arrived_s
        self.answered = False
        self.tasks: list[Task] = []
        self.spare: Task | None = None
        self.group: Group | None = None
        self.hopeless = False
        self.left: set[int] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def tries(self) -> int:
        """The tries of that of its tasks, one at least, that has come after the most losses."""
        return max(task.tries for task in self.tasks)


class Group:
    """A coding group: k batches, their predictions and their parity outputs, as far as they have arrived.

    Of a non-systematic code the n coded queries are what parity queries are of others: it has n rows and no own
    predictions.

    Attributes:
        number: counts groups from 0.
        members: the batches, fewer than k while the group fills.
        own: the finished task of the base model for each member, or None.
        parities: the finished task of each of the r rows, or None.
        pending: the task of each row that is queued or placed, or None.
        elements: queries of each batch that the parity queries cover: the size of the smallest batch; of the largest
            where shorter ones are filled up.
        checked: its outputs have been compared.
        over: nothing more is to be learnt from it.
    """

    __slots__ = ("checked", "elements", "members", "number", "over", "own", "parities", "pending")

    def __init__(self, number: int, r: int) -> None:
        self.number = number
        self.members: list[Batch] = []
        self.own: list[Task | None] = []
        self.parities: list[Task | None] = [None] * r
        self.pending: list[Task | None] = [None] * r
        self.elements = 0
        self.checked = False
        self.over = False


class Task:
    """One forward pass of one model on one batch, or on one parity query of a group.

    Attributes:
        model: name of the model.
        role: name of the instances that may do it.
        batch: the batch it answers; None for parity tasks.
        group: the group whose parity query it works on; None for others.
        row: row of the generator matrix, for parity tasks.
        low: only done by instances that would be idle otherwise.
        tries: how often this work has been tried before.
        urgent: goes to the head of its queue.
        state: where it is.
        instance: where it was placed, or -1.
        placed_s: when.
        number: counts placements from 0; -1 before.
        result: what came out; opaque to policies, None in a simulation.
    """

    __slots__ = (
        "batch", "group", "instance", "low", "model", "number", "placed_s", "result", "role", "row", "state", "tries",
        "urgent",
    )  # fmt: skip

    def __init__(
        self,
        model: str,
        role: str,
        batch: Batch | None = None,
        group: Group | None = None,
        row: int = 0,
        low: bool = False,
        tries: int = 0,
        urgent: bool = False,
    ) -> None:
        self.model = model
        self.role = role
        self.batch = batch
        self.group = group
        self.row = row
        self.low = low
        self.tries = tries
        self.urgent = urgent
        self.state = State.NEW
        self.instance = -1
        self.placed_s = 0.0
        self.number = -1
        self.result: Any = None

    def again(self) -> "Task":
        """The same work as a new task."""
        return Task(self.model, self.role, self.batch, self.group, self.row, self.low, self.tries + 1, self.urgent)


@dataclass(frozen=True)
class Role:
    """A kind of instance.

    Attributes:
        name: what tasks ask for.
        instances: how many.
        models: names of the models that each of them holds.
        reserve: instances that low-priority work leaves free for what may arrive, where they share a queue.
    """

    name: str
    instances: int
    models: tuple[str, ...]
    reserve: int = 0


class Actions(Protocol):
    """What a policy can have done."""

    def dispatch(self, task: Task) -> None:
        """Queue a new task for the instances of its role."""

    def cancel(self, task: Task) -> None:
        """Take a task out of its queue; one that an instance has already is not disturbed."""

    def respond(self, batch: Batch, source: Source, task: Task | None) -> None:
        """Answer the queries of a batch that have no answer yet.

        Args:
            batch: whose queries.
            source: where the answer comes from. RECONSTRUCTED decodes what the batch's group holds now, and answers
                those of its elements that the group covers.
            task: the task that gave the answer, or completed what is needed for it.
        """

    def rest(self, instance: int) -> None:
        """Give an instance low-priority work only, as long as others keep up with the rest."""

    def trust(self, instance: int) -> None:
        """Give an instance work like any other again."""

    def set_timer(self, at_s: float, batch: Batch) -> None:
        """Call the policy's ``timer`` at that time, unless the batch has been answered by then."""

    def suspects(self, group: Group) -> Collection[int]:
        """Compare all k + r outputs of a group with each other, and put on record what contradicts the others.

        Returns:
            Which of them are wrong, as far as that can be told: i for member i's own prediction, k + j for row j.
            None in a simulation, which has no outputs.
        """

    def agree(self, task: Task, other: Task) -> bool:
        """Compare what two tasks of one model made of the same batch; always the same in a simulation."""


Foresee = Callable[[Task, Sequence[float]], list[float]]
"""When each instance would be through with a task that it could begin at its time, in seconds."""


class Policy(ABC):
    """Base class of redundancy policies.

    Args:
        k: batches in a coding group.
        r: parity queries of a group; also what the extra machines of other policies are counted by.
    """

    looks: ClassVar[tuple[Look, ...]] = ()
    """How the policy appears in figures and reports, where its class itself says so: what a parent says is the
    parent's. Several where YAML files offer it by several names."""

    uses_groups = False
    """Whether the policy encodes and decodes."""

    replaces_queries = False
    """Whether what it encodes goes out in the place of the queries, and not beside them."""

    flags_answers = False
    """Whether it flags answers that may be wrong; then those that are not finite are flagged whatever it compares."""

    rests_instances = False
    """Whether it lets slow instances rest, which a queue discipline has to know how to do."""

    needs_foresight = False
    """Whether it has to know how long tasks will take: only a simulation can tell, which sets ``foresee``."""

    foresee: Foresee
    """Of a policy that needs foresight: tells what will be. It is there from ``start`` on."""

    false_alarm_rate: float | None = None
    """How often a sound group may be taken for a wrong one; None for policies that do not ask for ``suspects``."""

    actions: Actions

    def __init__(self, k: int, r: int) -> None:
        self.k = k
        self.r = r

    # ---- what it needs

    @abstractmethod
    def roles(self, base_instances: int) -> list[Role]:
        """The instances it runs on, where ``base_instances`` would serve without redundancy."""

    @classmethod
    def look(cls, name: str) -> Look | None:
        """How it appears under a name of the config; None where the class says nothing of that."""
        looks: tuple[Look, ...] = cls.__dict__.get("looks", ())
        return next((look for look in looks if look.name in ("", name)), None)

    def extra_instances(self, base_instances: int) -> int:
        """The extra machines of a code: ``ceil(m r / k)`` (Parity Models, section 5.1)."""
        return -(-base_instances * self.r // self.k)

    # ---- events

    def start(self, actions: Actions) -> None:
        """Begin a run."""
        self.actions = actions

    @abstractmethod
    def arrived(self, batch: Batch, now_s: float) -> None:
        """A batch is there."""

    def placed(self, task: Task, now_s: float) -> None:  # noqa: B027 - most policies need not know
        """An instance was given a task."""

    def finished(self, task: Task, now_s: float) -> None:
        """A task is done and has its result."""
        batch = task.batch
        assert batch is not None
        batch.tasks.remove(task)
        if not batch.answered:
            self.answer(batch, task)

    def failed(self, task: Task, now_s: float) -> None:
        """The instance that had the task died, or the model raised: try again, as long as it is of use."""
        batch = task.batch
        assert batch is not None
        batch.tasks.remove(task)
        if batch.answered:
            return
        if task.tries + 1 < TRIES:
            self.dispatch(task.again())
        elif not batch.tasks:
            batch.hopeless = True
            self.given_up(batch, task)

    def given_up(self, batch: Batch, task: Task) -> None:
        """Nothing that would answer the batch is under way, and trying again makes no sense."""
        self.actions.respond(batch, Source.ERROR, task)

    def timer(self, batch: Batch, now_s: float) -> None:  # noqa: B027 - most policies set none
        """A timer that the policy has set is due, and the batch has no answer yet."""

    def expired(self, batch: Batch, now_s: float) -> None:
        """The deadline has passed, and all queries of the batch have got an answer: spare the work still queued."""
        self.cancel_tasks(batch)

    # ---- for subclasses

    def answer(self, batch: Batch, task: Task) -> None:
        """Answer a batch with what a task says, and cancel what is queued for it."""
        self.actions.respond(batch, Source.OWN, task)
        self.cancel_tasks(batch)

    def dispatch(self, task: Task) -> None:
        """Dispatch a task that answers its batch directly."""
        assert task.batch is not None
        task.batch.tasks.append(task)
        self.actions.dispatch(task)

    def cancel_tasks(self, batch: Batch) -> None:
        """Cancel what is queued for a batch."""
        for task in batch.tasks:
            if task.state is State.QUEUED:
                self.actions.cancel(task)
        batch.tasks = [task for task in batch.tasks if task.state is State.PLACED]
