"""Times that are drawn ahead: each belongs to what it is for, whatever a policy does and in whatever order.

How long a task takes depends on its query, on its model, and on how many tasks of that model the query has had before:
its copy. A parity task's depends on its group, its row, and likewise its copy. So two policies that send a query once
see it take the same time, wherever and whenever it is served, and one that sends it again sees the time of the same
second copy, however it came to send that.
"""

from collections.abc import Sequence

import numpy as np

from parity_exp.disturbances import Distribution
from parity_exp.policies.policy import Work

BITS = 12
BLOCK = 1 << BITS
"""Numbers drawn at a time, from a stream of their own."""

WITHIN = BLOCK - 1

MOST_BLOCKS = 64
"""Blocks kept of each stream: what is older is drawn again when it is asked for."""


class DrawnAhead:
    """Times of one distribution, each by three numbers: what it is for.

    Args:
        distribution: of the times, in seconds.
        seed: of the random numbers, such as ``[seed, *b"network"]``.

    Attributes:
        blocks: by row and copy what has been drawn, by the number of the block.
    """

    def __init__(self, distribution: Distribution, seed: Sequence[int]) -> None:
        self._distribution = distribution
        self._seed = tuple(seed)
        self.blocks: dict[tuple[int, int], dict[int, list[float]]] = {}

    def at(self, number: int, copy: int = 0, row: int = -1) -> float:
        """The time that belongs to a copy of a number, such as a query's, or of a row of it."""
        try:
            return self.blocks[row, copy][number >> BITS][number & WITHIN]
        except KeyError:
            return self._drawn(number >> BITS, copy, row)[number & WITHIN]

    def _drawn(self, block: int, copy: int, row: int) -> list[float]:
        blocks = self.blocks.setdefault((row, copy), {})
        if len(blocks) == MOST_BLOCKS:
            del blocks[next(iter(blocks))]
        random = np.random.default_rng([block, copy, row + 1, *self._seed])
        times_s: list[float] = self._distribution.draw(random, BLOCK).tolist()
        blocks[block] = times_s
        return times_s


class DrawnForModel:
    """A time for each task of one model.

    It counts how many tasks there have been for each query, or for each row of a group: that is a task's copy.

    Args:
        distribution: of the times, in seconds.
        seed: of the random numbers, such as ``[seed, *b"network"]``.
    """

    def __init__(self, distribution: Distribution, seed: Sequence[int]) -> None:
        self._drawn = DrawnAhead(distribution, seed)
        self._blocks = self._drawn.blocks
        self._counts: dict[int, list[int]] = {}

    def of(self, task: Work) -> float:
        """The time of a task; it is asked for once."""
        batch = task.batch
        if batch is not None:
            number, row = batch.queries[0], -1
        else:
            assert task.group is not None
            number, row = task.group.number, task.row
        try:
            counts = self._counts[row]
            copy = counts[number]
        except (KeyError, IndexError):
            counts = self._counts.setdefault(row, [])
            counts.extend([0] * (max(number + 1, 2 * len(counts)) - len(counts)))
            copy = 0
        counts[number] = copy + 1
        try:
            return self._blocks[row, copy][number >> BITS][number & WITHIN]  # as `at` has it, without a call
        except KeyError:
            return self._drawn.at(number, copy, row)

    def next(self, task: Work) -> float:
        """The same before it is asked for."""
        batch = task.batch
        if batch is not None:
            number, row = batch.queries[0], -1
        else:
            assert task.group is not None
            number, row = task.group.number, task.row
        counts = self._counts.get(row, ())
        return self._drawn.at(number, counts[number] if number < len(counts) else 0, row)


class DrawnForTasks:
    """A time for each task, whatever its model, such as that of its message.

    Args:
        distribution: of the times, in seconds.
        seed: of the random numbers, such as ``[seed, *b"network"]``.
    """

    def __init__(self, distribution: Distribution, seed: Sequence[int]) -> None:
        self._distribution = distribution
        self._seed = tuple(seed)
        self._of_models: dict[str, DrawnForModel] = {}

    def __call__(self, task: Work) -> float:
        """The time of a task; it is asked for once."""
        model = task.model
        if model not in self._of_models:
            self._of_models[model] = DrawnForModel(self._distribution, [*self._seed, *f" {model}".encode()])
        return self._of_models[model].of(task)
