"""Autopilot: which redundancy pays is seen by playing the recent past again."""

from collections.abc import Mapping, Sequence
from math import inf, isqrt, sqrt
from typing import Annotated, Any

from annotated_types import MaxLen, MinLen

from parity_exp.policies.adaptive import Adaptive
from parity_exp.policies.estimates.seen import Memory
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, Policy, Role, Work
from parity_exp.policies.replay import Replay, Replayed
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
something counts as late. A run begins with the first, which has the defaults."""

PERCENTILES = (99.0, 99.9)
"""What counts unless a policy is told otherwise."""

LOOK = 20
"""Arrivals after which it is seen whether something has changed, or an answer is there."""

FIRST = 400
"""Arrivals, at all frontends together, after which the past is first played again; then after twice as many, and so
on."""

RARELY, REST_S = 4_000, 5.0
"""So many arrivals and so many seconds come between two replays in the end. At one of several frontends the first is
over the square root of their number: each has the work of all to play."""

KEPT = 0.7
"""What earlier replays have shown has this share of its weight, as long as nothing changes; each weighs as much as the
arrivals that it has played."""

DOUBT, LEAST_DOUBT = 2.0, 0.02
"""Another way is taken when it comes to less than the present one by this share: the first over the square root of the
arrivals that have been played, but the second at least. The percentiles of few arrivals are accidents."""

SLOWER = 10
"""So many arrivals of those played have to be slower than what is compared: the very slowest of few are accidents."""

HOPELESS, SURE = 1.3, 2_000
"""A way that comes to so many times the least, after so many arrivals that have been played, is not always played."""

ALL_AGAIN = 4
"""Of so many replays one plays all ways."""


class Autopilot(Policy):
    """Does what would have been best of late, by playing what it has seen again.

    All instances hold all models, and slow ones rest, as for :class:`Adaptive`. No threshold says when copies, parity
    or hedging pay: the policy keeps when queries arrived and how long each instance took for its tasks, and from time
    to time has this past simulated under each of the ways to go. A way is judged by its latency at each percentile, as
    a multiple of the least that any way comes to: the worst of these ratios counts. Costs may be added: of further
    tasks, and of answers that were reconstructed. A change of the load is noticed, and then only what came after it is
    played.

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
        costs: what each way has come to of late.
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
        self.driven = self._made(next(iter(self.ways)))

    def roles(self, base_instances: int) -> list[Role]:
        return self.driven.roles(base_instances)

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.way = next(iter(self.ways))
        self.driven = self._made(self.way)
        self.driven.start(actions)
        self.memory = Memory(actions.instances, actions.frontends)
        self.turns: list[tuple[float, str]] = [(0.0, self.way)]
        self.until_next = self.between = first_of(actions.frontends)
        self.last_s = 0.0  # when a replay was last asked for
        self.waits = False
        self.asked = 0  # arrivals that are being played
        self.replays = 0
        self.costs: dict[str, float] = {}
        self.evidence = 0.0

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

    def _made(self, way: str) -> Adaptive:
        made = Adaptive(self.k, self.r, **self.ways[way])
        made.decodes_by(self.needs)
        return made

    def _look_around(self, now_s: float) -> None:
        """Take the way that a replay has shown to be best, and have the past played again when it is time to."""
        if self.waits:
            replayed = self.replay.answer(now_s)
            if replayed is not None:
                self.waits = False
                self._take(self._best(replayed), now_s)
        if self.memory.changed():
            self.until_next = self.between = first_of(self.memory.frontends)
            self.evidence = 0.0
        if self.until_next > 0 or self.waits:
            return
        most = max(LOOK, RARELY // isqrt(self.memory.frontends))
        if self.between >= most and now_s < self.last_s + REST_S:
            return
        seen = self.memory.seen()
        self.waits = self.replay.ask(seen, {way: self._made(way) for way in self._worth_playing()}, now_s)
        if self.waits:
            self.asked = len(seen.arrivals_s) * seen.frontends
            self.last_s = now_s
            self.replays += 1
            self.until_next = self.between = min(2 * self.between, most)

    def _worth_playing(self) -> list[str]:
        """The ways that may be the best."""
        if self.evidence < SURE or self.replays % ALL_AGAIN == 0:
            return list(self.ways)
        return [way for way in self.ways if way == self.way or self.costs.get(way, 1.0) <= HOPELESS]

    def _best(self, replayed: Mapping[str, Replayed]) -> str:
        """The way that comes to least; the present one unless another is clearly better."""
        percentiles = judged(self.percentiles, self.asked)
        costs = costs_of(replayed, percentiles, self.task_cost, self.reconstruction_cost)
        kept = KEPT * self.evidence
        self.evidence = kept + self.asked
        for way, cost in costs.items():
            self.costs[way] = (kept * self.costs.get(way, cost) + self.asked * cost) / self.evidence
        best = min(self.costs, key=self.costs.__getitem__)
        doubt = max(LEAST_DOUBT, DOUBT / sqrt(self.evidence))
        return best if self.costs[best] < (1 - doubt) * self.costs[self.way] else self.way

    def _take(self, way: str, now_s: float) -> None:
        if way == self.way:
            return
        self.way = way
        self.turns.append((now_s, way))
        before, self.driven = self.driven, self._made(way)
        self.driven.go_on_from(before)


def first_of(frontends: int) -> int:
    """Arrivals at one of so many frontends after which the past is first played."""
    return max(LOOK, FIRST // frontends)


def judged(percentiles: Sequence[float], arrivals: int) -> list[float]:
    """What a past of so many arrivals tells of percentiles: those up to the one that :data:`SLOWER` arrivals exceed."""
    return [min(percentile, max(50.0, 100 * (1 - SLOWER / arrivals))) for percentile in percentiles]


def costs_of(
    replayed: Mapping[str, Replayed], percentiles: Sequence[float], task_cost: float, reconstruction_cost: float
) -> dict[str, float]:
    """What each way comes to: its worst latency beside the least that any has, and what its answers have cost.

    Args:
        replayed: by way.
        percentiles: of the latency, that count.
        task_cost: of a further task for each query.
        reconstruction_cost: of reconstructed answers.
    """
    least_s = [min(one.percentile_s(percentile) for one in replayed.values()) for percentile in percentiles]
    costs = {}
    for way, one in replayed.items():
        ratios = [
            one.percentile_s(percentile) / least if 0 < least < inf else 1.0
            for percentile, least in zip(percentiles, least_s, strict=True)
        ]
        costs[way] = max(ratios) + task_cost * (one.tasks - 1) + reconstruction_cost * one.reconstructed
    return costs
