"""What a client asks, and the queries that it is made of."""

import time
from collections.abc import Callable
from math import inf

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parity_exp.policies.policy import SOURCES, AnswerSource


class Asked:
    """A client's request: queries that are answered together.

    Args:
        inputs: ``(n, *query_shape)``, float32 on the CPU, as networks see them; nobody writes to it afterwards.
        deadline_s: in ``time.monotonic()``; what has no answer by then gets the default. Infinity: there is none.
        exact: only the base model's own predictions will do.

    Attributes:
        arrived_s: in ``time.monotonic()``; its latency counts from here.
        predictions: of each query, ``(*out)``; None until it is answered, and where nothing could answer it.
        sources: of each answer, once it is there.
        instances: that gave each answer; -1 none.
        finished_s: when the last of them was there.
        numbers: of its queries, once it is being worked at.
        gone: its client has gone away; what no instance has been asked yet need not be.
        tell: is called with it when all of it is answered.
    """

    __slots__ = (
        "_left", "arrived_s", "deadline_s", "exact", "finished_s", "gone", "inputs", "instances",
        "numbers", "predictions", "sources", "tell",
    )  # fmt: skip

    def __init__(self, inputs: Tensor, deadline_s: float = inf, exact: bool = False) -> None:
        count = len(inputs)
        self.inputs = inputs
        self.deadline_s = deadline_s
        self.exact = exact
        self.arrived_s = time.monotonic()
        self.finished_s = inf
        self.predictions: list[NDArray[np.float32] | None] = [None] * count
        self.sources: list[AnswerSource] = [AnswerSource.ERROR] * count
        self.instances = [-1] * count
        self.numbers = range(0)
        self.gone = False
        self.tell: Callable[[Asked], None] | None = None
        self._left = count

    def __len__(self) -> int:
        return len(self.predictions)

    def answer(
        self, place: int, prediction: NDArray[np.float32] | None, source: AnswerSource, instance: int, now_s: float
    ) -> bool:
        """One of its queries has its answer; whether all have by that."""
        self.predictions[place] = prediction
        self.sources[place] = source
        self.instances[place] = instance
        self._left -= 1
        if self._left == 0:
            self.finished_s = now_s
        return self._left == 0

    @property
    def latency_ms(self) -> float:
        """From its arrival to its last answer."""
        return (self.finished_s - self.arrived_s) * 1e3

    @property
    def failed(self) -> bool:
        """Whether nothing could answer one of its queries."""
        return AnswerSource.ERROR in self.sources

    @property
    def source(self) -> str:
        """The source of the answers; where they have several, one for each, with commas."""
        if len(self.sources) == 1 or len(set(self.sources)) == 1:
            return SOURCES[self.sources[0]]
        return ",".join(SOURCES[source] for source in self.sources)

    @property
    def instance(self) -> int | str:
        """The instance that answered; where there are several, one for each answer, with commas."""
        if len(self.instances) == 1 or len(set(self.instances)) == 1:
            return self.instances[0]
        return ",".join(map(str, self.instances))


class LiveQuery(int):
    """The number of a query, which carries what the query is.

    A policy keeps batches as long as they are of use, for parity queries say, and so what they ask is kept as long as
    somebody knows the number.

    Attributes:
        asked: whose query it is.
        place: which of it.
        placed: an instance has been given it.
    """

    asked: Asked
    place: int
    placed: bool

    @classmethod
    def of(cls, number: int, asked: Asked, place: int) -> "LiveQuery":
        """The query at a place of what somebody asks."""
        query = cls(number)
        query.asked, query.place, query.placed = asked, place, False
        return query

    @property
    def tensor(self) -> Tensor:
        """What it asks, ``(*query_shape)``."""
        return self.asked.inputs[self.place]
