"""A queue an instance; work goes to the instances in turn."""

from collections import OrderedDict

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work


class RoundRobin(PerInstance):
    """A queue an instance; work goes to the instances in turn, however long their queues are.

    ParM's second mode (Parity Models, SOSP 2019, section 4).
    """

    def __init__(self, role: Role, first: int, prefetch: int) -> None:
        super().__init__(role, first, prefetch)
        self.turn: OrderedDict[int, None] = OrderedDict()  # who is next comes first

    def up(self, instance: int) -> None:
        self.turn[instance] = None
        super().up(instance)

    def down(self, instance: int) -> None:
        del self.turn[instance]
        super().down(instance)

    def choose(self, work: Work) -> int:
        busy = self.taken(work)
        left_out = self.left_out(work)
        instance = -1
        for _ in range(len(self.turn)):
            following = next(iter(self.turn))
            self.turn.move_to_end(following)
            if following in left_out:
                continue
            instance = following
            if instance not in busy:
                break
        return instance
