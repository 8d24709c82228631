"""A queue an instance; work goes to one at random."""

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.work import Work


class RandomChoice(PerInstance):
    """A queue an instance; work goes to one at random, however long its queue is.

    The baseline of load balancing: with Poisson arrivals and exponential times each instance is an M/M/1 queue.
    """

    def choose(self, work: Work) -> int:
        return self.one(work)
