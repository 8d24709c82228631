"""One queue, out of which cancelled work is taken in bulk."""

from collections import deque

from parity_exp.policies.work import QUEUED, Work

COMPACT = 64
"""A queue is searched for cancelled work from this much on."""


class InOrder:
    """Work in order, without what was cancelled.

    Attributes:
        work: what it holds, cancelled work included: at most :data:`COMPACT` of that, or as much as of other work.
        cancelled: how much of that was cancelled.
        size: how much was not.
    """

    __slots__ = ("cancelled", "size", "work")

    def __init__(self) -> None:
        self.work: deque[Work] = deque()
        self.cancelled = 0
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def add(self, work: Work, first: bool) -> None:
        """Queue work, at the end or as the first."""
        self.size += 1
        if first:
            self.work.appendleft(work)
        else:
            self.work.append(work)

    def pop(self) -> Work:
        """Take the first out; there is one."""
        self.size -= 1
        work = self.work.popleft()
        while work.state is not QUEUED:
            self.cancelled -= 1
            work = self.work.popleft()
        return work

    def cancel(self) -> None:
        """Something that it holds was cancelled."""
        self.size -= 1
        self.cancelled += 1
        if self.cancelled > COMPACT and 2 * self.cancelled > len(self.work):
            self.work = deque(work for work in self.work if work.state is QUEUED)
            self.cancelled = 0
