"""A queue an instance; instances that are idle say so to a frontend, which gives them what comes next."""

from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.work import Work


class JoinIdleQueue(PerInstance):
    """Work goes to the instance that has said longest ago that it is idle; to one at random where none has.

    Lu, Xie, Kliot, Geller, Larus and Greenberg, Join-Idle-Queue (Performance Evaluation 2011): an instance that becomes
    idle joins the queue of one frontend, drawn at random (JIQ-Random). It stays there until the frontend takes it out,
    even where another frontend that knew of nobody idle has meanwhile given it work at random.
    """

    def up(self, instance: int) -> None:
        self._say_idle(instance)
        super().up(instance)

    def rid(self, work: Work, instance: int) -> int:
        load = super().rid(work, instance)
        if not load:
            self._say_idle(instance)
        return load

    def choose(self, work: Work) -> int:
        board, frontend = self.around.board, self.around.frontend
        shunned = self.shunned(work)
        passed_by: list[int] = []
        chosen = -1
        while chosen < 0:
            instance = board.take_idle(frontend)
            if instance < 0:
                chosen = self.one(work)
            elif instance not in self.instances or instance in shunned:
                passed_by.append(instance)  # another role's, or idle, but not for this work
            elif instance in self._place_of:
                chosen = instance
        for instance in passed_by:
            board.say_idle(instance, frontend)
        return chosen

    def _say_idle(self, instance: int) -> None:
        around = self.around
        if not around.board.load[instance]:
            frontend = int(self.random.random() * around.frontends) if around.frontends > 1 else 0
            around.board.say_idle(instance, frontend)
