"""Adaptive: redundancy as the load allows, from running estimates of load, lateness and slow instances.

``docs/results/adaptive.md`` explains it on a page, with what it comes to over loads and stragglers.
"""

from parity_exp.policies.busyness import Busyness
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, TRIES, Batch, Group, Role, State, Task
from parity_exp.policies.shared_parity import SharedParity
from parity_exp.policies.slowness import Slowness
from parity_exp.ranges import Delay, Few, Instance, Loads, Margin, Percentile

MOST_RESTING = 3
"""At most one instance in so many rests."""

NEGLIGIBLE = 0.001
"""Slow tasks that are rarer than this are left to hedging: they do not show at p99.9, where parity queries might."""

RETRY_S = 5.0
"""An instance that has rested for this long is tried again, whether it had any work to show what it can do or not."""


class Adaptive(SharedParity):
    """Copies of every query while there is room for them, then parity, then hedging; slow instances rest.

    All instances hold all models, as for :class:`SharedParity`, and every query is hedged as there. What is sent before
    anything is late depends on the share of the instances that queries alone keep busy:

    - up to ``copy_limit`` each query has a second copy that an idle instance may take: the first answer counts, and it
      is exact;
    - then up to ``load_limit`` parity queries, for which 1/k of the work suffices, unless hardly a task is slow;
    - above it nothing.

    A query whose copy is late as well may have one more, up to ``load_limit``. An instance that was slow with most of
    its latest tasks rests: it is given low-priority work only, which shows when it has recovered, unless more tasks are
    queued than there are instances.

    Args:
        copy_limit: copies of every query up to this share of busy instances.
        copies: copies of a query under way at most, beside the first.

    The others are those of :class:`SharedParity`.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "adaptive",
            "#e31a1c",
            idea="Copies of every query while there is room, then parity, then hedging; slow instances rest.",
            machines="m r / k",
            answer="exact or approximate, whichever is first",
            weakness="as for shared_parity",
            source="parity_exp",
        ),
    )

    rests_instances = True

    def __init__(
        self,
        k: int,
        r: int,
        copy_limit: Loads = 0.27,
        load_limit: Loads = 0.52,
        reserve: Instance = 1,
        delay_ms: Delay | None = None,
        percentile: Percentile = 90,
        margin: Margin = 1.2,
        idle_margin: Margin = 1.05,
        copies: Few = 2,
    ) -> None:
        super().__init__(k, r, load_limit, reserve, delay_ms, percentile, margin, idle_margin)
        if not 0 <= copy_limit <= load_limit:
            raise ValueError(f"copy_limit={copy_limit}: expected a share of the instances from 0 to {load_limit=}")
        if copies < 1:
            raise ValueError(f"copies={copies}: expected 1 or more")
        self.copy_limit = copy_limit
        self.copies = copies
        self.slowness = Slowness(1, Busyness(1))
        self.resting: dict[int, float] = {}

    def roles(self, base_instances: int) -> list[Role]:
        roles = super().roles(base_instances)
        self.slowness = Slowness(self.busyness.instances, self.busyness)
        self.resting = {}
        return roles

    # ---- events

    def arrived(self, batch: Batch, now_s: float) -> None:
        if self.resting:
            self._wake_rested(now_s)
        super().arrived(batch, now_s)
        if self.busyness.share <= self.copy_limit:
            self.dispatch(Task(BASE, self.base_role, batch, low=True))

    def finished(self, task: Task, now_s: float) -> None:
        self._watch(task.instance, now_s - task.placed_s, now_s)
        super().finished(task, now_s)

    def failed(self, task: Task, now_s: float) -> None:
        self.slowness.failed()
        super().failed(task, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        delay_s = self.lateness.delay_s
        placed = [task for task in batch.tasks if task.state is State.PLACED]
        copies = self.copies if self.busyness.share <= self.load_limit else 1
        if not placed or delay_s is None or len(placed) > copies:
            return
        last = max(placed, key=lambda task: task.placed_s)
        tries = batch.tries
        if tries + 1 >= TRIES:
            return
        early_s, late_s = last.placed_s + self.idle_share * delay_s, last.placed_s + delay_s
        queued = [task for task in batch.tasks if task.state is State.QUEUED]
        if now_s < early_s:  # set by an earlier copy, or when less counted as late
            self.actions.set_timer(early_s, batch)
        elif now_s < late_s:
            if not queued:
                self.dispatch(Task(BASE, self.base_role, batch, tries=tries, low=True))
            self.actions.set_timer(late_s, batch)
        elif all(copy.low for copy in queued):
            self.cancel_tasks(batch)
            urgent = self.busyness.share > self.load_limit
            self.dispatch(Task(BASE, self.base_role, batch, tries=tries, urgent=urgent))

    # ---- what it sends and to whom

    def _encode(self, group: Group) -> None:
        if self.busyness.share > self.copy_limit and not self.slowness.are_rarer_than(NEGLIGIBLE):
            super()._encode(group)

    def _watch(self, instance: int, duration_s: float, now_s: float) -> None:
        """See whether an instance has become slow, or is no longer."""
        rests = instance in self.resting
        self.slowness.took(instance, duration_s)
        slow = self.slowness.is_slow(instance, rests)
        if slow and not rests and len(self.resting) < self.busyness.instances // MOST_RESTING:
            self.resting[instance] = now_s
            self.actions.rest(instance)
        elif rests and not slow:
            self._trust(instance)

    def _wake_rested(self, now_s: float) -> None:
        for instance, since_s in list(self.resting.items()):
            if now_s - since_s >= RETRY_S:
                self.slowness.try_again(instance)
                self._trust(instance)

    def _trust(self, instance: int) -> None:
        del self.resting[instance]
        self.actions.trust(instance)
