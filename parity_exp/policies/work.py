"""What there is to do: batches of queries, coding groups of batches, and work that instances are given."""

from enum import IntEnum
from typing import Any

from parity_exp.policies.last_release import BatchAsItWas, GroupAsItWas

TRIES = 5
"""Work whose instance died or whose model raised is sent again until it has been tried this often."""


class State(IntEnum):
    """Where a piece of work is."""

    NEW = 0
    QUEUED = 1
    PLACED = 2
    FINISHED = 3
    FAILED = 4
    CANCELLED = 5


NEW, QUEUED, PLACED, CANCELLED = State.NEW, State.QUEUED, State.PLACED, State.CANCELLED
"""The same where it counts how quickly they are found."""


class Batch(BatchAsItWas):
    """Queries that go through a model together.

    Attributes:
        queries: their numbers.
        arrived_s: when the batch was complete.
        answered: every query in it has its answer.
        exact: the desk's: elements that only the base model's own prediction answers.
        under_way: work that would answer it directly and is queued or placed, in the order in which it was sent.
        group: its coding group, until that is over.
        hopeless: it has been tried :data:`TRIES` times in vain, and nothing is under way that would answer it directly.
        left: the desk's: elements without an answer, once some of several have one.
    """

    __slots__ = ("answered", "arrived_s", "exact", "group", "hopeless", "left", "queries", "under_way")

    def __init__(self, queries: tuple[int, ...], arrived_s: float) -> None:
        self.queries = queries
        self.arrived_s = arrived_s
        self.answered = False
        self.under_way: list[Work] = []
        self.group: Group | None = None
        self.hopeless = False
        self.left: set[int] | None = None
        self.exact: frozenset[int] | None = None

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def tries(self) -> int:
        """The tries of that of its work under way, one piece at least, that has come after the most losses."""
        return max(work.tries for work in self.under_way)


class Group(GroupAsItWas):
    """A coding group: k batches, their predictions and their parity outputs, as far as they have arrived.

    Of a non-systematic code the n coded queries are what parity queries are of others: it has n rows and no own
    predictions.

    Attributes:
        number: counts groups from 0.
        members: the batches, fewer than k while the group fills.
        own: the finished work of the base model for each member, or None.
        parities: the finished work of each of the r rows, or None.
        pending: the work of each row that is queued or placed, or None.
        elements: queries of each batch that the parity queries cover: the size of the smallest batch; of the largest
            where shorter ones are filled up.
        over: nothing more is to be learnt from it.
    """

    __slots__ = ("elements", "members", "number", "over", "own", "parities", "pending")

    def __init__(self, number: int, r: int) -> None:
        self.number = number
        self.members: list[Batch] = []
        self.own: list[Work | None] = []
        self.parities: list[Work | None] = [None] * r
        self.pending: list[Work | None] = [None] * r
        self.elements = 0
        self.over = False


class Work:
    """One forward pass of one model on one batch, or on one parity query of a group.

    Attributes:
        model: name of the model.
        role: name of the instances that may do it.
        batch: the batch it answers; None for parity queries.
        group: the group whose parity query it works on; None for others.
        row: row of the generator matrix, for parity queries.
        low: only done by instances that would be idle otherwise.
        tries: how often this work has been tried before.
        urgent: goes to the head of its queue.
        state: where it is.
        instance: where it was placed; -1 until then, and while it is queued.
        placed_s: when.
        number: counts placements from 0; -1 before.
        stopping: an instance has been told to stop it.
        result: what came out; opaque to policies, None in a simulation.
        took_s: how long the instance worked at it, where it says so; else None.
    """

    __slots__ = (
        "batch", "group", "instance", "low", "model", "number", "placed_s", "result", "role", "row", "state",
        "stopping", "took_s", "tries", "urgent",
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
        self.state = NEW
        self.instance = -1
        self.placed_s = 0.0
        self.number = -1
        self.stopping = False
        self.result: Any = None
        self.took_s: float | None = None

    def again(self) -> "Work":
        """The same work once more, for its next try."""
        return Work(self.model, self.role, self.batch, self.group, self.row, self.low, self.tries + 1, self.urgent)
