"""A queue an instance; work goes to the shortest of a few that are drawn at random."""

from parity_exp.policies.queues.hearsay import TOLD_MS, Hearsay
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work
from parity_exp.ranges import Delay, Few


class PowerOfD(Hearsay):
    """The power of d choices: of d different instances at random, work goes to the one that has least to do.

    Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (IEEE TPDS 2001); Vvedenskaya, Dobrushin and
    Karpelevich (1996). With many instances, Poisson arrivals at load rho and exponential times an instance has i or
    more pieces of work with probability rho ** ((d ** i - 1) / (d - 1)).

    Args:
        d: how many are drawn; of those with as little to do the one drawn first.
        told_ms: what an answer has told of the work of other frontends counts for so long.
    """

    def __init__(self, role: Role, first: int, prefetch: int, d: Few = 2, told_ms: Delay = TOLD_MS) -> None:
        super().__init__(role, first, prefetch, told_ms)
        self.d = d

    def choose(self, work: Work) -> int:
        self.forget()
        return min(self.some(self.d, work), key=self.loads)
