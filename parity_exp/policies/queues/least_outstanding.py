"""A queue an instance; work goes to the shortest."""

from parity_exp.policies.queues.hearsay import TOLD_MS, Hearsay
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work
from parity_exp.ranges import Delay


class LeastOutstanding(Hearsay):
    """Work goes to an instance that has least to do; of several one at random.

    Least outstanding requests, as load balancers have it (Envoy's least request over all hosts); with one frontend,
    which knows of everything, join the shortest queue.

    Args:
        told_ms: what an answer has told of the work of other frontends counts for so long.
    """

    def __init__(self, role: Role, first: int, prefetch: int, told_ms: Delay = TOLD_MS) -> None:
        super().__init__(role, first, prefetch, told_ms)
        # Instances that are there by what they have to do, so that a choice does not look at all of them.
        self._having: dict[int, list[int]] = {}
        self._at: dict[int, tuple[int, int]] = {}  # load, and place in the list of those that have it
        self._least = 0

    def up(self, instance: int) -> None:
        self._enter(instance)
        super().up(instance)

    def down(self, instance: int) -> None:
        self._leave(instance)
        super().down(instance)

    def given(self, work: Work, instance: int) -> None:
        super().given(work, instance)
        self._moved(instance)

    def rid(self, work: Work, instance: int) -> int:
        load = super().rid(work, instance)
        self._moved(instance)
        return load

    def learn(self, instance: int, others: int) -> None:
        super().learn(instance, others)
        self._moved(instance)

    def choose(self, work: Work) -> int:
        self.forget()
        shunned = self.shunned(work)
        load = self._least
        while True:
            having = self._having.get(load)
            if having:
                if not shunned:
                    self._least = load
                    return having[int(self.random.random() * len(having))]
                fitting = [instance for instance in having if instance not in shunned]
                if fitting:
                    return fitting[int(self.random.random() * len(fitting))]
            load += 1

    def _moved(self, instance: int) -> None:
        """Its load has changed."""
        if instance in self._at:
            self._leave(instance)
            self._enter(instance)

    def _enter(self, instance: int) -> None:
        load = self.loads(instance)
        having = self._having.setdefault(load, [])
        self._at[instance] = load, len(having)
        having.append(instance)
        self._least = min(self._least, load)

    def _leave(self, instance: int) -> None:
        load, place = self._at.pop(instance)
        having = self._having[load]
        last = having.pop()
        if last != instance:
            having[place] = last
            self._at[last] = load, place
        elif not having:
            del self._having[load]
