"""What a frontend thinks that instances have to do: its own work, and what they have told of that of others."""

from collections import deque

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.queues.queues import Surroundings
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work
from parity_exp.ranges import Delay

TOLD_MS = 1000.0
"""Unless a queue is told otherwise: what an answer has told counts for so long."""


class Hearsay(PerInstance):
    """A queue an instance, and for each instance a load as far as this frontend knows.

    That is its own work there, exactly, and that of other frontends as the latest answer has told: what the instance
    had when the answer set out, less what was this frontend's. Where there are no others, there is nothing to be told.

    Args:
        told_ms: what an answer has told counts for so long; 0: only what is the frontend's own.

    Attributes:
        others: for each instance the load that it has of other frontends, as told.
    """

    def __init__(self, role: Role, first: int, prefetch: int, told_ms: Delay = TOLD_MS) -> None:
        super().__init__(role, first, prefetch)
        self.told_ms = told_ms
        self.others = dict.fromkeys(self.instances, 0)
        self._hears = False
        self._told: deque[tuple[float, int]] = deque()
        self._told_at_s = dict.fromkeys(self.instances, 0.0)

    def begin(self, around: Surroundings) -> None:
        super().begin(around)
        self._hears = around.frontends > 1 and self.told_ms > 0

    def ended(self, work: Work, finished: bool, told_s: float, took_s: float | None) -> None:
        instance = work.instance
        super().ended(work, finished, told_s, took_s)
        if self._hears and finished:
            self._hear(instance, max(0, self.around.board.load_at(instance, told_s) - self.own[instance]))

    def loads(self, instance: int) -> int:
        """What an instance has to do, as far as is known; :meth:`forget` first."""
        return self.own[instance] + self.others[instance]

    def forget(self) -> None:
        """Forget what was told too long ago."""
        too_old_s = self.around.now_s - self.told_ms / 1e3
        while self._told and self._told[0][0] < too_old_s:
            at_s, instance = self._told.popleft()
            if self._told_at_s[instance] == at_s:
                self.learn(instance, 0)

    def learn(self, instance: int, others: int) -> None:
        """Note the load that an instance has of other frontends."""
        self.others[instance] = others

    def _hear(self, instance: int, others: int) -> None:
        now_s = self.around.now_s
        self._told.append((now_s, instance))
        self._told_at_s[instance] = now_s
        self.learn(instance, others)
