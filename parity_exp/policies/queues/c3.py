"""A queue an instance; a score of response times and queues says which is best."""

from typing import Annotated

from annotated_types import Ge, Gt, Le

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.role import Role
from parity_exp.policies.work import Work
from parity_exp.ranges import Few


class C3(PerInstance):
    """Replica ranking of C3 (Suresh, Canini, Schmid and Feldmann, NSDI 2015, section 3.1), without its rate control.

    Work goes to the instance with the lowest score ``R - T + q ** 3 T``: R is the running mean of its response times
    as the frontend sees them, T that of its service times, and ``q = 1 + o w + Q`` its queue as estimated, with o the
    frontend's own work there, w the number of frontends (concurrency compensation) and Q the running mean of the queues
    that its answers have told. All are exponentially weighted. An instance that has not answered yet comes first; of
    several with the same score one is drawn at random.

    Args:
        weight: of the newest value in a running mean.
        exponent: of the queue; 3 makes the score cubic.
        concurrency: w; None: the number of frontends.
        candidates: how many instances, drawn at random, are compared; None: all. The paper's are a key's replicas.
    """

    def __init__(
        self,
        role: Role,
        first: int,
        prefetch: int,
        weight: Annotated[float, Gt(0), Le(1)] = 0.9,
        exponent: Annotated[float, Ge(1), Le(10)] = 3.0,
        concurrency: Few | None = None,
        candidates: Few | None = None,
    ) -> None:
        super().__init__(role, first, prefetch)
        self.weight = weight
        self.exponent = exponent
        self.concurrency = concurrency
        self.candidates = candidates
        self._response_s: dict[int, float] = {}
        self._service_s: dict[int, float] = {}
        self._queue: dict[int, float] = {}
        self._since_s: dict[Work, float] = {}

    def given(self, work: Work, instance: int) -> None:
        super().given(work, instance)
        self._since_s[work] = self.around.now_s

    def rid(self, work: Work, instance: int) -> int:
        self._since_s.pop(work, None)
        return super().rid(work, instance)

    def ended(self, work: Work, finished: bool, told_s: float, took_s: float | None) -> None:
        instance, response_s = work.instance, self.around.now_s - self._since_s[work]
        super().ended(work, finished, told_s, took_s)
        if finished:
            self._learn(self._response_s, instance, response_s)
            self._learn(self._service_s, instance, response_s if took_s is None else took_s)
            self._learn(self._queue, instance, self.around.board.load_at(instance, told_s))

    def choose(self, work: Work) -> int:
        if self.candidates is None:
            shunned = self.shunned(work)
            fitting = [instance for instance in self.there if instance not in shunned] if shunned else self.there
        else:
            fitting = self.some(self.candidates, work)
        scores = [self.score(instance) for instance in fitting]
        least = min(scores)
        best = [instance for instance, score in zip(fitting, scores, strict=True) if score == least]
        return best[int(self.random.random() * len(best))] if len(best) > 1 else best[0]

    def score(self, instance: int) -> float:
        """The lower the better."""
        own = self.own[instance]
        if instance not in self._response_s:
            return own - 1e9
        concurrency = self.around.frontends if self.concurrency is None else self.concurrency
        service_s = self._service_s[instance]
        queue: float = (1 + own * concurrency + self._queue[instance]) ** self.exponent
        return self._response_s[instance] - service_s + queue * service_s

    def _learn(self, means: dict[int, float], instance: int, value: float) -> None:
        before = means.get(instance)
        means[instance] = value if before is None else before + self.weight * (value - before)
