"""What instances know of themselves, where frontends are processes: a board in memory that all of them share.

Nobody waits for anybody. Each frontend writes what it has given to instances and taken from them into rows of its own,
and reads those of all; an instance's load is their sum. What two write at the same time is the instances' word that
they are idle: there the last one wins, and a frontend may hear of an instance that another has just given work to, as
it may over a network. A note to the others that is read while it is written is read as if there were none; of what a
frontend tells them nothing is read before it is complete.
"""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from parity_exp.policies.queues import Board
from parity_exp.policies.queues.board import CHANGES, TOLD, Told
from parity_exp.process.shared_arrays import shared_zeros

LATEST = 64
"""Latencies that are kept of each instance and frontend."""

MOST_NUMBERS = 1024
"""A note of a frontend to the others has so many at most; a longer one is not left."""

NUMBERS = 4
"""In what frontends tell each other."""

NOWHERE = 0
"""An instance waits at no frontend; those that it may wait at are numbered from 1 here."""


class SharedBoard(Board):
    """To be made before the frontends are forked, which then say by :meth:`of` who they are.

    Args:
        instances: how many there are.
        frontends: likewise.
    """

    def __init__(self, instances: int, frontends: int) -> None:
        self._instances, self._frontends = instances, frontends
        self._me = 0
        rows = frontends * instances
        # Numbers one at a time are quicker through memoryviews than through arrays.
        self._loads = shared_zeros((rows,), "q").data
        self._at = shared_zeros((instances,), "q")
        self._since_s = shared_zeros((instances,), "d")
        self._changed = shared_zeros((rows,), "q").data
        self._change_s: Any = shared_zeros((rows * CHANGES,), "d").data  # of numbers that are not whole
        self._change = shared_zeros((rows * CHANGES,), "q").data
        self._taken = shared_zeros((rows,), "q").data
        self._took_at = shared_zeros((rows * LATEST,), "q").data
        self._took_s: Any = shared_zeros((rows * LATEST,), "d").data
        self._notes_written = shared_zeros((frontends,), "q")  # odd while one is being written
        self._notes_length = shared_zeros((frontends,), "q")
        self._notes_numbers = shared_zeros((frontends, MOST_NUMBERS), "d")
        self._told_numbers: Any = shared_zeros((frontends * TOLD * NUMBERS,), "d").data
        self._told_so_far = shared_zeros((frontends,), "q").data  # type: ignore[assignment]
        self.load = _Loads(self._loads, instances)  # type: ignore[assignment]

    def of(self, frontend: int) -> "SharedBoard":
        """The board as a frontend writes on it."""
        self._me = frontend
        return self

    def given(self, instance: int, now_s: float) -> int:
        self._note(instance, now_s, 1)
        return self.load[instance]

    def rid(self, instance: int, now_s: float) -> int:
        self._note(instance, now_s, -1)
        return self.load[instance]

    def took(self, instance: int, load: int, latency_s: float) -> None:
        row = self._me * self._instances + instance
        place = row * LATEST + self._taken[row] % LATEST
        self._took_at[place], self._took_s[place] = load, latency_s
        self._taken[row] += 1

    def latency_s(self, instance: int) -> float:
        by_load: dict[int, list[float]] = {}
        for row in range(instance, len(self._loads), self._instances):
            first = row * LATEST
            for place in range(first, first + min(self._taken[row], LATEST)):
                by_load.setdefault(self._took_at[place], []).append(self._took_s[place])
        if not by_load:
            return 0.0
        coming = self.load[instance] + 1
        return median(by_load[min(by_load, key=lambda load: (abs(load - coming), load))])

    def load_at(self, instance: int, time_s: float) -> int:
        return sum(self._own_at(row, time_s) for row in range(instance, len(self._loads), self._instances))

    def say_idle(self, instance: int, frontend: int) -> None:
        if self._at[instance] == NOWHERE:
            self._since_s[instance] = time.monotonic()
            self._at[instance] = frontend + 1

    def take_idle(self, frontend: int) -> int:
        waiting = (self._at == frontend + 1).nonzero()[0]
        if not len(waiting):
            return -1
        instance = int(waiting[self._since_s[waiting].argmin()])
        self._at[instance] = NOWHERE
        return instance

    def leave_note(self, frontend: int, numbers: Sequence[float]) -> None:
        if len(numbers) > MOST_NUMBERS:
            return
        self._notes_written[frontend] += 1
        self._notes_numbers[frontend, : len(numbers)] = numbers
        self._notes_length[frontend] = len(numbers)
        self._notes_written[frontend] += 1

    def notes(self) -> list[Sequence[float]]:
        read: list[Sequence[float]] = []
        for frontend in range(self._frontends):
            written, length = self._notes_written[frontend], self._notes_length[frontend]
            numbers = self._notes_numbers[frontend, :length].tolist()
            if length and written % 2 == 0 and self._notes_written[frontend] == written:
                read.append(numbers)
        return read

    def tell(self, frontend: int, numbers: Told) -> None:
        so_far = self._told_so_far[frontend]
        first = (frontend * TOLD + so_far % TOLD) * NUMBERS
        for place, number in enumerate(numbers, first):
            self._told_numbers[place] = number
        self._told_so_far[frontend] = so_far + 1

    def told(self, frontend: int, heard: int) -> tuple[Sequence[Told], int]:
        so_far = self._told_so_far[frontend]
        first = max(heard, so_far - TOLD)
        new = [self._told_at(frontend, number) for number in range(first, so_far)]
        overwritten = self._told_so_far[frontend] - TOLD + 1 - first  # or being so, since this began
        return new[max(overwritten, 0) :], so_far

    def _told_at(self, frontend: int, number: int) -> Told:
        first = (frontend * TOLD + number % TOLD) * NUMBERS
        numbers: Told = tuple(self._told_numbers[first : first + NUMBERS])
        return numbers

    def forget(self, frontend: int, heir: int) -> None:
        """A frontend is gone, with what it had given; instances that wait there wait at another from now on."""
        self._notes_length[frontend] = 0
        first = frontend * self._instances
        for row in range(first, first + self._instances):
            self._loads[row] = 0
            self._changed[row] = 0
        self._at[self._at == frontend + 1] = heir + 1

    def _note(self, instance: int, now_s: float, difference: int) -> None:  # type: ignore[override]
        row = self._me * self._instances + instance
        load = self._loads[row] + difference
        place = row * CHANGES + self._changed[row] % CHANGES
        self._change_s[place], self._change[place] = now_s, load
        self._changed[row] += 1
        self._loads[row] = load

    def _own_at(self, row: int, time_s: float) -> int:
        """What a frontend had at an instance at a time that is not long ago."""
        latest = self._changed[row]
        oldest = max(latest - CHANGES, 0)
        for number in range(latest - 1, oldest - 1, -1):
            place = row * CHANGES + number % CHANGES
            if self._change_s[place] <= time_s:
                return self._change[place]
        return self._change[row * CHANGES + oldest % CHANGES] if oldest else 0


class _Loads:
    """The load of each instance, of all frontends."""

    def __init__(self, loads: "memoryview[int]", instances: int) -> None:
        self._loads = loads
        self._instances = instances

    def __getitem__(self, instance: int) -> int:
        return sum(self._loads[instance :: self._instances])
