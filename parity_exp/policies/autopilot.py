"""Autopilot: which redundancy pays is known from clusters like this one, and seen by playing the recent past again."""

from collections.abc import Mapping, Sequence
from math import isqrt, sqrt
from typing import Annotated, Any

from annotated_types import MaxLen, MinLen

from parity_exp.policies.adaptive import Adaptive
from parity_exp.policies.comparison import Comparison
from parity_exp.policies.estimates.experience import experience
from parity_exp.policies.estimates.seen import SPAN_S, Memory, Seen
from parity_exp.policies.estimates.traits import traits_of
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, Batch, Policy, Role, Work
from parity_exp.policies.replay import Replay
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
something counts as late. The first has the defaults: what it sends depends on the load. A run begins with it where
nothing is known of clusters like this one."""

BEGINS = "late_hedging"
"""Else with this, until something is seen of the cluster: it costs hardly anything where a run begins in a burst."""

WAYS_OF_SEVERAL: dict[str, dict[str, Any]] = WAYS | {
    "parity_apart": {"copies_all": False, "load_limit": ALWAYS, "skips_rare": False, "parity_apart": True}
}
"""Those of several frontends: an instance that one of them takes for idle may have work of another, so that parity
queries on idle instances delay what others send there."""

PERCENTILES = (99.0, 99.9)
"""What counts unless a policy is told otherwise."""

EARLY = (100, 200, 400)
"""Arrivals, at all frontends together, after which a way is taken by what is known of clusters like this one: since the
beginning, and since the load has changed."""

LOOK = 20
"""Arrivals after which it is seen whether something has changed, or an answer is there; of several frontends that tell
each other what they see each looks after its share of them."""

FIRST = 400
"""Arrivals after which the past is first played again; then whenever there are twice as many."""

RARELY, REST_S = 4_000, 5.0
"""So many arrivals and so many seconds come between two replays in the end. Of several frontends that tell each other
what they see each takes its turn. Where they do not, this and the above are over the square root of their number: each
has the work of all to play."""

DOUBT, LEAST_DOUBT = 2.0, 0.02
"""Another way is taken when it comes to less than the present one by this share: the first over the square root of the
arrivals that have been played, but the second at least. The percentiles of few arrivals are accidents. Where something
is known of clusters like this one the second is enough."""

KNOWN = 400
"""After a change of the load a replay has half its weight while the new rate is known from so many arrivals. And
another way has to be better by as much as the rate may be wrong, one over the square root of their number, unless it
is known of clusters like this one."""

HOPELESS, SURE = 1.2, 500
"""A way that comes to so many times the least is not always played, once as much is known as so many arrivals tell."""

ALL_AGAIN = 4
"""Of so many replays one plays all ways."""

SAME_CHANGE = 100
"""Two frontends mean the same change where they date it within the time in which so many arrive at one of them."""

SINCE, NUMBER, KNOWN_FROM = 0, 1, 2
"""What a note to other frontends has where: when something last changed, how many it is, and what is known since."""

UNSEEN = 0.03
"""What counts against a way that does nothing about late tasks: a past of few seconds does not show all there is."""


class Autopilot(Policy):
    """Does what was best on clusters like this one, and what would have been best of late.

    All instances hold all models, and slow ones rest, as for :class:`Adaptive`. No threshold says when copies, parity
    or hedging pay. The policy keeps when queries arrived and how long each instance took for its tasks. It knows what
    each of the ways to go came to on clusters where such things looked alike
    (:class:`~parity_exp.policies.estimates.experience.Experience`), and from time to time it has this past simulated
    under each of them. A way is judged by its latency at each percentile, as a multiple of the least that any way comes
    to: the worst of these ratios counts. Costs may be added: of further tasks, and of answers that were reconstructed.
    When the load changes, it takes what was best at the new rate at once, and has the past played at that; when tasks
    are slow more often or less, what came before that is left out.

    Args:
        percentiles: of the latency, that count; None: :data:`PERCENTILES`.
        task_cost: what a further task for each query is worth, as a share of the latency; 0: machines are there anyway.
        reconstruction_cost: what it is worth, likewise, that no answer is a reconstructed one, whatever its accuracy.
        point_cost: what a hundredth of the answers being right is worth, likewise, where accuracies are known.
        accuracy: of the base model's own predictions, and of reconstructed ones; None: nothing is known of them.
        ways: settings of :class:`Adaptive` for each way to go; None: :data:`WAYS`, with several frontends
            :data:`WAYS_OF_SEVERAL`.
        experienced: whether it knows what these came to on other clusters; of other ways it knows nothing.
        plays: whether it has its past played again; false: it goes by experience alone, which costs next to nothing.
        tells: whether its frontends, where there are several, tell each other what they see, and what they know of each
            way.

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
    needs_durations = True

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
        experienced: bool = True,
        plays: bool = True,
        tells: bool = True,
    ) -> None:
        super().__init__(k, r)
        self.percentiles = PERCENTILES if percentiles is None else tuple(percentiles)
        self.task_cost = task_cost
        self.reconstruction_cost = reconstruction_cost
        if accuracy is not None:
            self.reconstruction_cost += 100 * point_cost * (accuracy[0] - accuracy[1])
        self.own_ways = None if ways is None else {name: dict(settings) for name, settings in ways.items()}
        self.ways = ways_of(1) if self.own_ways is None else self.own_ways
        if not self.ways:
            raise ValueError("ways: expected one at least, such as {parity: {load_limit: 10}}")
        for name in self.ways:
            try:
                self._made(name)
            except (TypeError, ValueError) as error:
                raise ValueError(f"ways: {name}: {error}") from None
        self.experienced = experienced and ways is None
        self.needs_replay = plays
        self.tells = tells
        if not plays and not self.experienced:
            raise ValueError(
                "plays=False: expected experienced=True and no ways, or nothing would tell which way to go"
            )
        self.driven = self._made(next(iter(self.ways)))

    def roles(self, base_instances: int) -> list[Role]:
        return self.driven.roles(base_instances)

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        if self.own_ways is None:
            self.ways = ways_of(actions.frontends)
        self.way = BEGINS if self.experienced else next(iter(self.ways))
        self.driven = self._made(self.way, actions.instances)
        self.driven.start(actions)
        self.hears = self.tells and actions.frontends > 1
        self.memory = Memory(
            actions.instances, actions.frontends, actions.frontend, actions.tell if self.hears else None
        )
        self.turns: list[tuple[float, str]] = [(0.0, self.way)]
        self.look_after = max(1, LOOK // actions.frontends) if self.hears else LOOK
        self.until_look = self.look_after
        self.between = first_of(self.memory.stands_for)
        self.next = self.between  # arrivals after which the past is played again
        self.turn = 0  # whose it is to play it, of frontends that take turns
        self.last_s = 0.0  # when a replay was last due
        self.waits = False
        self.asked = self.rate_from = 0  # arrivals that are being played, and those that their rate is known from
        self.replays = self.guesses = self.guesses_from = 0
        self.comparison = self.known = Comparison(
            self.percentiles, self.task_cost, self.reconstruction_cost, turns=actions.frontends if self.hears else 1
        )
        self.since_s = 0.0  # the latest change that has been noticed
        self.notes_left = 0
        self.notes_read: list[float] = []
        self.experience = experience() if self.experienced else None

    def arrived(self, batch: Batch, now_s: float) -> None:
        self.memory.arrived(now_s)
        self.until_look -= 1
        if not self.until_look:
            self.until_look = self.look_after
            if self.hears:
                self.memory.heard(self.actions.hear())
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
        """Take the way that is best by what is known, and have the past played again when it is time to."""
        if self.waits:
            replayed = self.replay.answer(now_s)
            if replayed is not None:
                self.waits = False
                if self.asked:
                    weight = 1 / self.memory.stands_for  # what is played of the others' arrivals are this one's again
                    if self.rate_from < self.asked:
                        weight *= self.rate_from / (self.rate_from + KNOWN)
                    self.comparison.learn(replayed, self.asked, weight)
                    self._leave_note()
                    self._take_best(now_s)
        changed, drifted = self.memory.changed(), self.memory.drifted()
        guessed: Seen | None = None  # from what, if it has just been done
        if changed:
            self.driven.busyness.comes_every(self.memory.latest_gap_s * self.memory.from_one_own)
        if changed or drifted:
            self.asked = 0  # what is being played is of no use any more
            self.next, self.between, self.turn = 0, first_of(self.memory.stands_for), 0
            self.comparison.forget()
            self.since_s = self.memory.arrivals_s[self.memory.before]
            self._leave_note()
            if self.experienced:
                self.guesses, self.guesses_from = 0, self.memory.arrivals
                guessed = self._guess(now_s)
            elif changed and self.driven.copies_all and self.driven.copy_limit >= 1:
                self._take(next(iter(self.ways)), now_s)  # no copies of everything, whatever the load
        elif self.experienced and self._is_early:
            self.guesses += 1
            guessed = self._guess(now_s)
        if self.hears and [note[NUMBER] for note in self.actions.notes()] != self.notes_read:
            self._take_best(now_s)  # others know something new
        if self.memory.arrivals < self.next:
            return
        most = max(LOOK, RARELY // isqrt(self.memory.stands_for))
        if not self.needs_replay:
            self.next = self.memory.arrivals + most
            self._guess(now_s)
            return
        if self.between >= most and now_s < self.last_s + REST_S:
            return
        if self.hears and self.turn % self.memory.frontends != self.memory.frontend:
            self._play_later(now_s, most)
            if self.experienced and guessed is None:
                self._guess(now_s)  # what is expected is the mean over all, and none of it should be old
            return
        if self.waits:
            return
        seen = guessed or self.memory.seen()
        self.waits = self.replay.ask(
            seen, {way: self._made(way, seen.all_instances) for way in self._worth_playing()}, now_s
        )
        if self.waits:
            if guessed is None:
                self._expect(seen)
            self.asked = len(seen.arrivals_s) * seen.stands_for
            self.rate_from = seen.sure * seen.stands_for
            self.replays += 1
            self._play_later(now_s, most)

    def _play_later(self, now_s: float, most: int) -> None:
        """A replay was due, and the next one will be."""
        self.last_s = now_s
        self.turn += 1
        self.next, self.between = self.memory.arrivals + self.between, min(2 * self.between, most)

    @property
    def _is_early(self) -> bool:
        """Whether so little has been seen that clusters like this one have to do."""
        arrivals = (self.memory.arrivals - self.guesses_from) * self.memory.stands_for
        return self.guesses < len(EARLY) and arrivals >= EARLY[self.guesses]

    def _worth_playing(self) -> list[str]:
        """The ways that may be the best."""
        costs = self.costs
        if self.replays % ALL_AGAIN == ALL_AGAIN - 1 or self.known.arrivals < SURE:
            return list(self.ways)
        least = min(costs.values(), default=1.0)
        return [way for way in self.ways if way == self.way or costs.get(way, 0.0) <= HOPELESS * least]

    @property
    def costs(self) -> dict[str, float]:
        """What each way comes to, as far as anything was known when it was last looked at."""
        return {
            way: cost if self.ways[way].get("hedges", True) else cost + UNSEEN for way, cost in self.known.costs.items()
        }

    def _expect(self, seen: Seen) -> None:
        """Learn what ways came to on clusters like this one, if there is something to go by."""
        if self.experience is None or not len(seen.durations_s):
            return
        expected, sure = self.experience.expects(traits_of(seen, self.k, self.r))
        self.comparison.expect({way: one for way, one in expected.items() if way in self.ways}, sure)
        self._leave_note()

    def _guess(self, now_s: float) -> Seen:
        """Take the way that was best on clusters like this one; return what of the past that is told from."""
        seen = self.memory.seen()
        self._expect(seen)
        self._take_best(now_s)
        return seen

    def _take_best(self, now_s: float) -> None:
        """Take the way that comes to least; the present one unless another is clearly better."""
        if self.hears:
            self._read_notes(now_s)
        costs = self.costs
        if self.way not in costs:
            return
        best = min(costs, key=costs.__getitem__)
        doubt = LEAST_DOUBT
        if not self.experienced:
            doubt = max(doubt, DOUBT / sqrt(self.known.arrivals))
            if self.rate_from < self.asked:
                doubt = max(doubt, 1 / sqrt(self.rate_from))
        if costs[best] < (1 - doubt) * costs[self.way]:
            self._take(best, now_s)

    # ---- several frontends

    def _leave_note(self) -> None:
        """Tell the other frontends what is known here."""
        if self.hears:
            self.notes_left += 1
            self.actions.leave_note([self.since_s, self.notes_left, *self.comparison.note(self.ways)])

    def _read_notes(self, now_s: float) -> None:
        """Put together what all frontends know; once half of them have noticed a change, what these know."""
        notes = self.actions.notes()
        self.notes_read = [note[NUMBER] for note in notes]
        noticed_s = sorted((note[SINCE] for note in notes), reverse=True)
        since_s = noticed_s[(len(notes) - 1) // 2] if notes else 0.0  # by half of them: one may be mistaken
        if now_s - since_s > SPAN_S:
            since_s = 0.0  # who has not noticed has forgotten by now what was before
        arrivals_s = self.memory.arrivals_s
        since_s -= now_s - arrivals_s[-min(SAME_CHANGE * self.memory.from_one_own, len(arrivals_s))]
        heard = [note[KNOWN_FROM:] for note in notes if note[SINCE] >= since_s]
        self.known = self.comparison.together(heard, self.ways) if heard else self.comparison

    def _take(self, way: str, now_s: float) -> None:
        if way == self.way:
            return
        self.way = way
        self.turns.append((now_s, way))
        before, self.driven = self.driven, self._made(way, self.memory.instances)
        self.driven.go_on_from(before)


def ways_of(frontends: int) -> dict[str, dict[str, Any]]:
    """The ways to go that there are at one of so many frontends."""
    return WAYS if frontends == 1 else WAYS_OF_SEVERAL


def room_for_parity(instances: int, k: int, r: int) -> float:
    """The share of the instances that queries may keep busy for parity to find idle ones, unless a way says it.

    Queries and their parity keep 1 + r/k times as many busy as queries alone; and of more instances a smaller share has
    to be left over, since by chance fewer of them are busy at the same time: the square root of their number.
    """
    return max(LOAD_LIMIT, (1 - 1 / sqrt(instances)) / (1 + r / k))


def first_of(frontends: int) -> int:
    """Arrivals at one of so many frontends after which the past is first played: each has the work of all to play."""
    return max(LOOK, FIRST // isqrt(frontends))
