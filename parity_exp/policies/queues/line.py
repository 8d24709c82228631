"""Instances in a line: who has come first goes first, but each may leave."""

from collections import deque
from collections.abc import Collection

COMPACT = 64
"""A line is searched for those who have left from this many on."""


class Line(deque[int]):
    """Numbers of instances in the order in which they came. Each step takes the same time, however many there are.

    Who leaves is only noted, and passed over when it is his turn; the first one is always there. A number can come
    again when it has left, and is then behind the others.

    Attributes:
        absent: how often a number is passed over; its first places count as those that it has left.
        gaps: how many places are.
    """

    __slots__ = ("absent", "gaps")

    def __init__(self) -> None:
        super().__init__()
        self.absent: dict[int, int] = {}
        self.gaps = 0

    @property
    def size(self) -> int:
        """How many are there."""
        return len(self) - self.gaps

    def first(self) -> int:
        """Take the first out; there is one."""
        instance = self.popleft()
        if self.gaps:
            self._close_up()
        return instance

    def first_but(self, busy: Collection[int]) -> int | None:
        """Take the first out that is not among some; None where there is none."""
        if self and self[0] not in busy:  # as most often
            return self.first()
        passed = []
        found = None
        while self and found is None:
            instance = self.first()
            if instance in busy:
                passed.append(instance)
            else:
                found = instance
        self.extendleft(reversed(passed))
        return found

    def leave(self, instance: int) -> None:
        """Take one out that is there."""
        self.absent[instance] = self.absent.get(instance, 0) + 1
        self.gaps += 1
        self._close_up()
        if self.gaps > COMPACT and 2 * self.gaps > len(self):
            there = [instance for instance in self if not self._pass_over(instance)]
            self.clear()
            self.extend(there)

    def _close_up(self) -> None:
        """See to it that the first one is there."""
        while self and self._pass_over(self[0]):
            self.popleft()

    def _pass_over(self, instance: int) -> bool:
        """Be done with a number's next place if it has left it; returns whether it had."""
        if instance not in self.absent:
            return False
        self.gaps -= 1
        left = self.absent[instance] = self.absent[instance] - 1
        if not left:
            del self.absent[instance]
        return True
