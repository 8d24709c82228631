"""Autopilot: which redundancy pays is seen by playing the recent past again."""

from collections.abc import Mapping, Sequence
from math import isqrt, sqrt
from typing import Annotated, Any

from annotated_types import MaxLen, MinLen

from parity_exp.policies.adaptive import Adaptive
from parity_exp.policies.comparison import Comparison
from parity_exp.policies.estimates.seen import Memory
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, Policy, Role, Work
from parity_exp.policies.replay import Replay, Replayed
from parity_exp.policies.shared_parity import LOAD_LIMIT
from parity_exp.ranges import NotNegative, Percentile, Share

ALWAYS, NEVER = 10.0, 0.0

WAYS: dict[str, dict[str, Any]] = {
    "thresholds": {},
    "parity": {"copies_all": False, "load_limit": ALWAYS, "skips_rare": False, "reserve": 0},
    "copies": {"copy_limit": ALWAYS, "load_limit": ALWAYS},
    "clones": {"copy_limit": ALWAYS, "load_limit": ALWAYS, "copies_wait": False, "reserve": 0},
    "hedging": {"copies_all": False, "copy_limit": NEVER, "load_limit": NEVER},
    "late_hedging": {"copies_all": False, "copy_limit": NEVER, "load_limit": NEVER, "percentile": 98.0},
    "nothing": {"copies_all": False, "sends_parity": False, "hedges": False},
}
"""The ways to go that there are, each by settings of :class:`Adaptive`: what is sent before anything is late, and when
something counts as late. A run begins with the first, which has the defaults: what it sends depends on the load."""

EXPECTED = {
    "thresholds": 1.06,
    "parity": 1.09,
    "copies": 1.07,
    "clones": 1.14,
    "hedging": 1.4,
    "late_hedging": 1.7,
    "nothing": 2.6,
}
"""What each of them came to beside the best of them, in the mean over 32 clusters that were drawn at random."""

PERCENTILES = (99.0, 99.9)
"""What counts unless a policy is told otherwise."""

LOOK = 20
"""Arrivals after which it is seen whether something has changed, or an answer is there."""

FIRST = 400
"""Arrivals, at all frontends together, after which the past is first played again; then whenever there are twice as
many."""

RARELY, REST_S = 4_000, 5.0
"""So many arrivals and so many seconds come between two replays in the end. At one of several frontends the first is
over the square root of their number: each has the work of all to play."""

DOUBT, LEAST_DOUBT = 2.0, 0.02
"""Another way is taken when it comes to less than the present one by this share: the first over the square root of the
arrivals that have been played, but the second at least. The percentiles of few arrivals are accidents."""

KNOWN = 400
"""After a change of the load a replay has half its weight while the new rate is known from so many arrivals. And
another way has to be better by as much as the rate may be wrong, one over the square root of their number."""

HOPELESS, SURE = 1.3, 2_000
"""A way that comes to so many times the least, after so many arrivals that have been played, is not always played."""

ALL_AGAIN = 4
"""Of so many replays one plays all ways."""

UNSEEN = 0.03
"""What counts against a way that does nothing about late tasks: a past of few seconds does not show all there is."""


class Autopilot(Policy):
    """Does what would have been best of late, by playing what it has seen again.

    All instances hold all models, and slow ones rest, as for :class:`Adaptive`. No threshold says when copies, parity
    or hedging pay: the policy keeps when queries arrived and how long each instance took for its tasks, and from time
    to time has this past simulated under each of the ways to go. A way is judged by its latency at each percentile, as
    a multiple of the least that any way comes to: the worst of these ratios counts. Costs may be added: of further
    tasks, and of answers that were reconstructed. When the load changes, the past is played at the new rate at once,
    and until that has been done nobody copies everything regardless; when tasks are slow more often or less, what came
    before that is left out.

    Args:
        percentiles: of the latency, that count; None: :data:`PERCENTILES`.
        task_cost: what a further task for each query is worth, as a share of the latency; 0: machines are there anyway.
        reconstruction_cost: what it is worth, likewise, that no answer is a reconstructed one, whatever its accuracy.
        point_cost: what a hundredth of the answers being right is worth, likewise, where accuracies are known.
        accuracy: of the base model's own predictions, and of reconstructed ones; None: nothing is known of them.
        ways: settings of :class:`Adaptive` for each way to go; None: :data:`WAYS`.

    Attributes:
        driven: does what there is to do; another one goes on from it from time to time.
        way: the present way to go.
        turns: when it took which way.
        replay: plays the past again; set from outside, before ``start``.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look(
            "autopilot",
            "#6a3d9a",
            idea="Plays what it has seen again under copies, parity and hedging, and does what would have been best.",
            machines="m r / k",
            answer="exact or approximate, whichever is first",
            weakness="every instance needs room for both models, and a processor for the replays",
            source="parity_exp",
        ),
    )

    uses_groups = True
    rests_instances = True
    needs_replay = True

    replay: Replay

    def __init__(
        self,
        k: int,
        r: int,
        percentiles: Annotated[Sequence[Percentile], MinLen(1)] | None = None,
        task_cost: NotNegative = 0.0,
        reconstruction_cost: NotNegative = 0.0,
        point_cost: NotNegative = 0.0,
        accuracy: Annotated[Sequence[Share], MinLen(2), MaxLen(2)] | None = None,
        ways: Annotated[Mapping[str, Mapping[str, Any]], MinLen(1)] | None = None,
    ) -> None:
        super().__init__(k, r)
        self.percentiles = PERCENTILES if percentiles is None else tuple(percentiles)
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        if accuracy is not None:
            self.reconstruction_cost += 100 * point_cost * (accuracy[0] - accuracy[1])
        self.ways = {name: dict(settings) for name, settings in (WAYS if ways is None else ways).items()}
        if not self.ways:
            raise ValueError("ways: expected one at least, such as {parity: {load_limit: 10}}")
        for name in self.ways:
            try:
                self._made(name)
            except (TypeError, ValueError) as error:
                raise ValueError(f"ways: {name}: {error}") from None
        self.expected = EXPECTED if ways is None else {}
        self.driven = self._made(next(iter(self.ways)))

    def roles(self, base_instances: int) -> list[Role]:
        return self.driven.roles(base_instances)

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.way = next(iter(self.ways))
        self.driven = self._made(self.way, actions.instances)
        self.driven.start(actions)
        self.memory = Memory(actions.instances, actions.frontends)
        self.turns: list[tuple[float, str]] = [(0.0, self.way)]
        self.until_next = self.between = first_of(actions.frontends)
        self.last_s = 0.0  # when a replay was last asked for
        self.waits = False
        self.asked = self.rate_from = 0  # arrivals that are being played, and those that their rate is known from
        self.replays = 0
        self.comparison = Comparison(self.percentiles, self.task_cost, self.reconstruction_cost, self.expected)

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.memory.arrived(now_s)
        self.until_next -= 1
        if self.until_next % LOOK == 0:
            self._look_around(now_s)
        self.driven.arrived(batch, now_s)

    def placed(self, work: Work, now_s: float) -> None:
        self.driven.placed(work, now_s)

    def finished(self, work: Work, now_s: float) -> None:
        begin_s = work.placed_s
        if work.took_s is not None and self.memory.frontends > 1:
            begin_s = max(begin_s, now_s - work.took_s)  # before that it waited behind the work of others
        self.memory.took(work.instance, begin_s, now_s, work.model != BASE)
        self.driven.finished(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        self.memory.gave_up(work.instance, now_s)
        self.driven.failed(work, now_s)

    def stopped(self, work: Work, now_s: float) -> None:
        self.driven.stopped(work, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        self.driven.timer(batch, now_s)

    def expired(self, batch: Batch, now_s: float) -> None:
        self.driven.expired(batch, now_s)

    # ---- which way to go

    def _made(self, way: str, instances: int = 0) -> Adaptive:
        settings = self.ways[way]
        if instances and settings.get("sends_parity", True):
            settings = {"load_limit": room_for_parity(instances, self.k, self.r)} | settings
        made = Adaptive(self.k, self.r, **settings)
        made.decodes_by(self.needs)
        return made

    def _look_around(self, now_s: float) -> None:
        """Take the way that a replay has shown to be best, and have the past played again when it is time to."""
        if self.waits:
            replayed = self.replay.answer(now_s)
            if replayed is not None:
                self.waits = False
                if self.asked:
                    self._take(self._best(replayed), now_s)
        changed, drifted = self.memory.changed(), self.memory.drifted()
        if changed or drifted:
            self.asked = 0  # what is being played is of no use any more
            self.until_next, self.between = 0, first_of(self.memory.frontends)
            self.comparison.forget()
        if changed:
            self.driven.busyness.comes_every(self.memory.latest_gap_s)
            if self.driven.copies_all and self.driven.copy_limit >= 1:  # copies of everything, whatever the load
                self._take(next(iter(self.ways)), now_s)
        if self.until_next > 0 or self.waits:
            return
        most = max(LOOK, RARELY // isqrt(self.memory.frontends))
        if self.between >= most and now_s < self.last_s + REST_S:
            return
        seen = self.memory.seen()
        self.waits = self.replay.ask(
            seen, {way: self._made(way, seen.all_instances) for way in self._worth_playing()}, now_s
        )
        if self.waits:
            self.asked = len(seen.arrivals_s) * seen.frontends
            self.rate_from = seen.sure * seen.frontends
            self.last_s = now_s
            self.replays += 1
            self.until_next, self.between = self.between, min(2 * self.between, most)

    def _worth_playing(self) -> list[str]:
        """The ways that may be the best."""
        if self.comparison.arrivals < SURE or self.replays % ALL_AGAIN == 0:
            return list(self.ways)
        return [way for way in self.ways if way == self.way or self.costs.get(way, 1.0) <= HOPELESS]

    @property
    def costs(self) -> dict[str, float]:
        """What each way has come to of late."""
        return {
            way: cost if self.ways[way].get("hedges", True) else cost + UNSEEN
            for way, cost in self.comparison.costs.items()
        }

    def _best(self, replayed: Mapping[str, Replayed]) -> str:
        """The way that comes to least; the present one unless another is clearly better."""
        changed = self.rate_from < self.asked
        self.comparison.learn(replayed, self.asked, self.rate_from / (self.rate_from + KNOWN) if changed else 1.0)
        costs = self.costs
        best = min(costs, key=costs.__getitem__)
        doubt = max(LEAST_DOUBT, DOUBT / sqrt(self.comparison.arrivals), 1 / sqrt(self.rate_from) if changed else 0.0)
        return best if costs[best] < (1 - doubt) * costs[self.way] else self.way

    def _take(self, way: str, now_s: float) -> None:
        if way == self.way:
            return
        self.way = way
        self.turns.append((now_s, way))
        before, self.driven = self.driven, self._made(way, self.memory.instances)
        self.driven.go_on_from(before)


def room_for_parity(instances: int, k: int, r: int) -> float:
    """The share of the instances that queries may keep busy for parity to find idle ones, unless a way says it.

    Queries and their parity keep 1 + r/k times as many busy as queries alone; and of more instances a smaller share has
    to be left over, since by chance fewer of them are busy at the same time: the square root of their number.
    """
    return max(LOAD_LIMIT, (1 - 1 / sqrt(instances)) / (1 + r / k))


def first_of(frontends: int) -> int:
    """Arrivals at one of so many frontends after which the past is first played."""
    return max(LOOK, FIRST // frontends)
