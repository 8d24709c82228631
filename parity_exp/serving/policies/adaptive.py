"""Adaptive (draft)."""

from parity_exp.serving.policies.shared_parity import SharedParity
from parity_exp.serving.policy import BASE, TRIES, Batch, Group, Role, State, Task


class Adaptive(SharedParity):
    def __init__(self, k, r, dup_limit=0.3, parity_from=0.0, rest_s=0.0, more=True, urgent=None, **kw):
        super().__init__(k, r, **kw)
        self.dup_limit = dup_limit
        self.parity_from = parity_from
        self.rest_s = rest_s
        self.more = more
        self.resting = {}

    def arrived(self, batch, now_s):
        if self.resting:
            for i, until in list(self.resting.items()):
                if until <= now_s:
                    del self.resting[i]
                    self.actions.trust(i)
        super().arrived(batch, now_s)
        if self.busyness.share <= self.dup_limit:
            self.dispatch(Task(BASE, self.base_role, batch, low=True))

    def _encode(self, group):
        if self.busyness.share >= self.parity_from:
            super()._encode(group)

    def timer(self, batch, now_s):
        delay_s = self.lateness.delay_s
        if not batch.tasks or delay_s is None:
            return
        placed = [t for t in batch.tasks if t.state is State.PLACED]
        if not placed:
            return
        last = placed[-1]
        for t in placed:
            if t.placed_s > last.placed_s: last = t
        if last.tries + 1 >= TRIES or len(placed) > (2 if self.more else 1):
            return
        copies = [t for t in batch.tasks if t.state is State.QUEUED]
        late_s = last.placed_s + delay_s
        early_s = last.placed_s + self.idle_share * delay_s
        if now_s < early_s - 1e-9:
            self.actions.set_timer(early_s, batch)
        elif now_s < late_s - 1e-9:
            if not copies:
                self.dispatch(Task(BASE, self.base_role, batch, tries=last.tries, low=True))
            self.actions.set_timer(late_s, batch)
        elif all(t.low for t in copies):
            if self.rest_s:
                for t in placed:
                    if len(self.resting) < self.busyness.instances // 3:
                        if t.instance not in self.resting:
                            self.actions.rest(t.instance)
                        self.resting[t.instance] = now_s + self.rest_s
            self.cancel_tasks(batch)
            urgent = self.busyness.share > self.load_limit
            self.dispatch(Task(BASE, self.base_role, batch, tries=last.tries, urgent=urgent))
