"""The desk: batches, queues, deadlines and answers between a policy and the instances. Pure, as policies are.

It takes events with their times, and leaves what is to be done in two lists that whoever drives it takes away:
``placements``, work for instances, and ``responses``, answers for clients. The frontend drives it over a pool, a
simulation over a heap of events.

Rules:

- Every query is answered exactly once: by the policy, or at its deadline by the default; without deadlines by an error
  where nothing that is still to come could answer it (:attr:`Desk.is_stuck`).
- Placed work is ended by exactly one of ``finished``, ``failed`` and the loss of its instance.
- An instance has at most ``prefetch`` pieces of work at a time; a second copy of a batch is not placed where the first
  is, as long as another instance is free.
- Cancelled work leaves the queues in bulk (:class:`~parity_exp.policies.queues.in_order.InOrder`).
- Nothing that is over is kept, and no circles of references are left behind: garbage collection may be off.
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf

from parity_exp.policies.answer_source import AnswerSource
from parity_exp.policies.judge import Judge
from parity_exp.policies.policy import Policy
from parity_exp.policies.queues import Board, Queues, RoundRobin, SingleQueue
from parity_exp.policies.queues.board import Told
from parity_exp.policies.role import Role
from parity_exp.policies.work import CANCELLED, PLACED, QUEUED, Batch, Group, State, Work

__all__ = ["RETRY_S", "Desk", "Queues", "Response", "RoundRobin", "SingleQueue"]

APPROXIMATE = (AnswerSource.RECONSTRUCTED, AnswerSource.BACKUP)
"""Sources of answers that are not the base model's own; a query that wants an exact answer is not given these."""

RECONSTRUCTED = AnswerSource.RECONSTRUCTED
ONE = range(1)
FINISHED = State.FINISHED

RETRY_S = 0.001
"""An instance that refuses work while it has none is offered some again after this time."""


@dataclass(slots=True)
class Response:
    """An answer to some queries of a batch.

    Attributes:
        batch: whose queries.
        elements: which of them.
        source: where the answer comes from.
        work: that gave it or completed it; None at a deadline.
        group: number of the coding group, -1 without one.
        place: the batch's place in its group.
        own: for a reconstruction, and what a small model says of a group: finished work of each member, or None.
        parities: likewise: finished work of each row, or None.
    """

    batch: Batch
    elements: Sequence[int]
    source: AnswerSource
    work: Work | None
    group: int = -1
    place: int = -1
    own: tuple[Work | None, ...] = ()
    parities: tuple[Work | None, ...] = ()


class Desk:
    """Runs a policy.

    Args:
        policy: decides; started by this.
        base_instances: m.
        queues: makes the queues of a role, :class:`SingleQueue` or :class:`RoundRobin`.
        prefetch: how much an instance may have at a time.
        batch_size: queries in a batch.
        window_s: a batch that is not full is sent this long after its first query arrived.
        slo_s: deadline of a query, from its scheduled arrival; at the deadline it gets the default. Infinity: there is
            none.
        judge: compares outputs for policies that ask for it; the one of a simulation where it is left out.
        seed: of what queues draw at random.
        board: what instances know of themselves; of several frontends all have the same one.
        frontend: which of the frontends this is.
        frontends: how many there are; each has a desk.
        interrupts: whether instances can be interrupted.
        tells: is told of each answer at once, its batch, elements, source and work, in the place of a response; None:
            they go to ``responses``.

    Attributes:
        placements: work for instances, to be taken away by the driver.
        stops: work that instances are to stop at, likewise; none where they cannot.
        responses: answers, likewise.
        roles: the kinds of instances, in the order of their numbers.
        unanswered: queries that have arrived and have no answer yet.
        now_s: the time of the latest event.
        due_s: before this time :meth:`wake` has nothing to do; at it perhaps, :meth:`wakes_s` knows.
        changed: :meth:`place` may have something to do.
        listens: whether queues want to know of the end of work, when it was told and how long it took.
    """

    __slots__ = (
        "_asked", "_close_batch_s", "_deadlines", "_early_timers", "_ejected", "_ejection", "_exact", "_forming",
        "_further", "_heard", "_in_order", "_is_gone", "_is_up", "_of_instance", "_own_deadlines", "_own_deadlines_set",
        "_placed", "_queues", "_refused", "_retry_s", "_running", "_scheduled", "_sooner", "_tells", "_tells_placed",
        "_timers", "_timers_set", "_told", "_waiting", "batch_size", "board", "changed", "due_s", "frontend",
        "frontends", "interrupts", "judge", "listens", "now_s", "placements", "policy", "responses", "roles", "seed",
        "slo_s", "stops", "unanswered", "window_s",
    )  # fmt: skip
    # There are more than a dictionary that objects share has room for, and without one calls are quicker.

    def __init__(
        self,
        policy: Policy,
        base_instances: int,
        queues: Callable[[Role, int, int], Queues] = SingleQueue,
        prefetch: int = 1,
        batch_size: int = 1,
        window_s: float = 0.0,
        slo_s: float = inf,
        judge: Judge | None = None,
        *,
        seed: int = 0,
        board: Board | None = None,
        frontend: int = 0,
        frontends: int = 1,
        interrupts: bool = False,
        tells: Callable[[Batch, Sequence[int], AnswerSource, Work | None], None] | None = None,
    ) -> None:
        self.policy = policy
        self._tells = tells
        self.judge = judge or Judge()
        self.roles = policy.roles(base_instances)
        self.batch_size = batch_size
        self.window_s = window_s
        self.slo_s = slo_s
        self.interrupts = interrupts
        self.placements: list[Work] = []
        self.stops: list[Work] = []
        self.responses: list[Response] = []
        self.now_s = 0.0
        self.due_s = inf
        self.seed = seed
        self.frontend = frontend
        self.frontends = frontends
        self.board = Board(sum(role.instances for role in self.roles), frontends) if board is None else board
        # Probes on their way there, and on their way back.
        self._asked: deque[tuple[float, float, Queues, int]] = deque()
        self._told: deque[tuple[float, Queues, int, int, float]] = deque()
        self._heard = [0] * frontends
        self._queues: dict[str, Queues] = {}
        self._of_instance: list[Queues] = []
        for role in self.roles:
            made = queues(role, len(self._of_instance), prefetch)
            made.begin(self)
            made.leave_free(role.reserve)
            self._queues[role.name] = made
            self._of_instance += [made] * role.instances
        self._in_order = list(self._queues.values())
        self.listens = any(made.listens for made in self._queues.values())
        self.changed = True
        self._running: list[Work | None] = [None] * len(self._of_instance)  # one piece of what each has
        self._further: dict[int, set[Work]] = {}  # and the rest of it
        self._refused = [0] * len(self._of_instance)
        self._is_up = [False] * len(self._of_instance)
        self._is_gone = [False] * len(self._of_instance)
        self._forming: list[int] = []
        self._scheduled: list[float] = []
        self._exact: list[int] = []  # of those that form a batch, by their places in it
        self._sooner: list[tuple[float, int]] = []  # likewise: deadlines of their own
        self._own_deadlines: list[tuple[float, int, Batch, int]] = []
        self._own_deadlines_set = 0
        self._close_batch_s = inf
        self._retry_s = inf
        self._timers: deque[tuple[float, int, Batch]] = deque()  # each later than the one before, as most are
        self._early_timers: list[tuple[float, int, Batch]] = []  # a heap of the others
        self._timers_set = 0
        self._deadlines: deque[tuple[float, Batch, int]] = deque()
        self._waiting: dict[Batch, None] = {}  # without deadlines: what has no answer yet
        self._placed = frontend  # tasks of several frontends have different numbers
        self.unanswered = 0
        self._ejection = policy.ejection
        self._ejected: set[int] = set()  # and those that come back when they have done what they have
        if self._ejection is not None:
            self._ejection.start([role.instances for role in self.roles])
        policy.start(self)
        self._tells_placed = getattr(policy.placed, "__func__", None) is not Policy.placed
        for instance in range(len(self._of_instance)):
            self.up(instance)

    @property
    def instances(self) -> int:
        """How many there are."""
        return len(self._of_instance)

    @property
    def share(self) -> float:
        """What is this frontend's of the instances, if all frontends have as much to do."""
        return self.instances / self.frontends

    @property
    def held(self) -> list[tuple[str, ...]]:
        """For each instance the models it has to hold."""
        return [role.models for role in self.roles for _ in range(role.instances)]

    @property
    def resting(self) -> set[int]:
        """Instances that rest at the moment."""
        return {instance for queues in self._queues.values() for instance in queues.resting}

    @property
    def pending(self) -> list[int]:
        """For each instance how much work waits for it and no other, or is in its hands."""
        there = enumerate(zip(self._of_instance, self._running, strict=True))
        return [
            queues.waiting_for(instance) + (work is not None) + len(self._further.get(instance, ()))
            for instance, (queues, work) in there
        ]

    @property
    def waiting(self) -> dict[str, int]:
        """By role how much work waits for whoever can take it."""
        return {role: queues.waiting for role, queues in self._queues.items()}

    # ---- events

    def arrive(
        self, query: int, scheduled_s: float, now_s: float, deadline_s: float = inf, exact: bool = False
    ) -> None:
        """A query is there.

        Args:
            query: its number.
            scheduled_s: when it should have been there, which its deadline counts from; never goes back.
            now_s: the time.
            deadline_s: a deadline of its own, beside that of all; infinity: none.
            exact: only the base model's own prediction may answer it, or the default at its deadline.
        """
        self.now_s = now_s
        self.unanswered += 1
        if self.batch_size == 1 and not exact and deadline_s == inf:  # nothing else is said of it
            batch = Batch((query,), now_s)
            if self.slo_s == inf:
                self._waiting[batch] = None
            else:
                deadlines, deadline_s = self._deadlines, scheduled_s + self.slo_s
                while deadlines and deadlines[0][1].answered:
                    deadlines.popleft()
                deadlines.append((deadline_s, batch, 0))
                if deadline_s < self.due_s:
                    self.due_s = deadline_s
            self.policy.arrived(batch, now_s)
            return
        if exact:
            self._exact.append(len(self._forming))
        if deadline_s < inf:
            self._sooner.append((deadline_s, len(self._forming)))
        self._forming.append(query)
        self._scheduled.append(scheduled_s)
        if len(self._forming) == self.batch_size:
            self._send_batch(now_s)
            return
        if len(self._forming) == 1:
            self._close_batch_s = min(now_s + self.window_s, scheduled_s + self.slo_s)
        if deadline_s < self._close_batch_s:
            self._close_batch_s = deadline_s
        self._note_due(self._close_batch_s)

    def finished(
        self, work: Work, now_s: float, result: object = None, told_s: float | None = None, took_s: float | None = None
    ) -> None:
        """An instance has done its work.

        Args:
            work: that is done.
            now_s: the time.
            result: what came out.
            told_s: when the instance said so; None: now.
            took_s: how long it worked at it; None: that is not known.
        """
        self.now_s = now_s
        work.state = FINISHED
        work.result = result
        work.took_s = took_s
        instance = work.instance
        if not self._ejected and not self._refused[instance]:  # as `_leave` has it, without a call
            if self._running[instance] is work:
                self._running[instance] = None
            elif self._further:
                self._drop(work, instance)
            queues = self._of_instance[instance]
            queues.freed(instance)
            if not queues.is_empty:
                queues.changed = self.changed = True
        else:
            self._leave(work)
        if self.listens:
            self._of_instance[work.instance].ended(work, True, now_s if told_s is None else told_s, took_s)
        if self._ejection is not None:
            self._eject(self._ejection.finished(work.instance, now_s - work.placed_s, now_s))
        self.policy.finished(work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        """A model raised; the instance goes on."""
        self.now_s = now_s
        work.state = State.FAILED
        self._leave(work)
        if self.listens:
            self._of_instance[work.instance].ended(work, False, now_s, None)
        if self._ejection is not None:
            self._eject(self._ejection.failed(work.instance, now_s))
        self.policy.failed(work, now_s)

    def stopped(self, work: Work, now_s: float) -> None:
        """An instance has stopped at work, as it was told; it goes on."""
        self.now_s = now_s
        work.state = CANCELLED
        self._leave(work)
        if self.listens:
            self._of_instance[work.instance].ended(work, False, now_s, None)
        self.policy.stopped(work, now_s)

    def refused(self, work: Work) -> None:
        """An instance did not take work: queue it again, and give that instance nothing until it has done some.

        An instance that has none to do may be given some after :data:`RETRY_S`.
        """
        if work.state is not PLACED:
            return  # the instance is gone, and the work was given up with it
        instance, work.instance = work.instance, -1
        self._drop(work, instance)
        self._refused[instance] += 1
        self._retry_s = min(self._retry_s, work.placed_s + RETRY_S)
        self._note_due(self._retry_s)
        work.state = QUEUED
        work.stopping = False
        if instance in self._ejected:
            self._of_instance[instance].add(work, first=True)
        else:
            self._of_instance[instance].refused(work, instance)
        self._note_change(instance)

    def down(self, instance: int, now_s: float, final: bool = False) -> None:
        """An instance is gone, with everything it had; if it is final, it does not come back."""
        self.now_s = now_s
        self._is_gone[instance] = final
        if not self._is_up[instance]:
            return
        self._is_up[instance] = False
        self._refused[instance] = 0
        if instance in self._ejected:
            self._ejected.discard(instance)
        else:
            self._of_instance[instance].down(instance)
        self._note_change(instance)
        lost = list(self._further.pop(instance, ()))
        first, self._running[instance] = self._running[instance], None
        if first is not None:
            lost.append(first)
        for work in sorted(lost, key=lambda work: work.number):
            work.state = State.FAILED
            if self.listens:
                self._of_instance[instance].ended(work, False, now_s, None)
            if self._ejection is not None:
                self._eject(self._ejection.failed(instance, now_s))
            self.policy.failed(work, now_s)
        if self._ejection is not None:
            self._end_panic(instance)

    def up(self, instance: int) -> None:
        """An instance is there, or there again."""
        if self._is_up[instance]:
            return
        self._is_up[instance] = True
        if self._ejection is not None and instance in self._ejection.ejected:
            self._ejected.add(instance)
        else:
            self._of_instance[instance].up(instance)
        self._note_change(instance)

    @property
    def is_stuck(self) -> bool:
        """Whether, if no more queries come, nothing can happen that would answer those without an answer.

        Nothing is due and no instance has work, and for those that may come back there is none.
        """
        due = self._due_s()  # probes answer nobody
        if due < inf or self.placements or self.responses or any(map(self._has_work, range(self.instances))):
            return False
        return not any(
            queues.holds_tasks and not up and not gone
            for queues, up, gone in zip(self._of_instance, self._is_up, self._is_gone, strict=True)
        )

    def give_up(self, now_s: float) -> None:
        """Answer what has no answer and no deadline by an error: for who finds that the desk is stuck."""
        for batch in list(self._waiting):
            self.respond(batch, AnswerSource.ERROR, None)
            self.policy.expired(batch, now_s)

    def abandon(self, queries: Collection[int], now_s: float) -> None:
        """Nobody waits for these queries any more: answer those without an answer by the default, and spare their work.

        For queries without a deadline of all; those whose batch is still being formed stay in it.
        """
        self.now_s = now_s
        for batch in list(self._waiting):
            for element, query in enumerate(batch.queries):
                if query in queries and self._default(batch, element):
                    self.policy.expired(batch, now_s)

    def wake(self, now_s: float) -> None:
        """Do what is due: a batching window that closes, timers, deadlines, probes."""
        self.now_s = now_s
        if self._asked or self._told:
            self._go_on_probing(now_s)
        if self._close_batch_s <= now_s:
            self._send_batch(now_s)
        if self._retry_s <= now_s:
            self._retry()
        if self._ejection is not None and self._ejection.due_s <= now_s:
            self._take_back(self._ejection.back(now_s))
        timers, early = self._timers, self._early_timers
        while (timers and timers[0][0] <= now_s) or (early and early[0][0] <= now_s):
            in_turn = not early or (timers and timers[0] < early[0])
            batch = (timers.popleft() if in_turn else heapq.heappop(early))[2]
            if not batch.answered:
                self.policy.timer(batch, now_s)
        deadlines = self._deadlines
        while deadlines and (deadlines[0][1].answered or deadlines[0][0] <= now_s):
            deadline_s, batch, element = deadlines.popleft()
            if deadline_s <= now_s and self._default(batch, element):
                self.policy.expired(batch, now_s)
        own = self._own_deadlines
        while own and own[0][0] <= now_s:
            _, _, batch, element = heapq.heappop(own)
            if self._default(batch, element):
                self.policy.expired(batch, now_s)

    def wakes_s(self) -> float:
        """When :meth:`wake` has something to do, as far as is known; infinity when never."""
        first = self._due_s()
        if self._asked and self._asked[0][0] < first:
            first = self._asked[0][0]
        if self._told and self._told[0][0] < first:
            first = self._told[0][0]
        self.due_s = first
        return first

    def _due_s(self) -> float:
        """The same without probes."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1].answered:
            deadlines.popleft()
        timers, early = self._timers, self._early_timers
        while timers and timers[0][2].answered:
            timers.popleft()
        while early and early[0][2].answered:
            heapq.heappop(early)
        own = self._own_deadlines
        while own and own[0][2].answered:
            heapq.heappop(own)
        first = self._close_batch_s
        if own and own[0][0] < first:
            first = own[0][0]
        if timers and timers[0][0] < first:
            first = timers[0][0]
        if early and early[0][0] < first:
            first = early[0][0]
        if deadlines and deadlines[0][0] < first:
            first = deadlines[0][0]
        if self._retry_s < first:
            first = self._retry_s
        if self._ejection is not None and self._ejection.due_s < first:
            first = self._ejection.due_s
        return first

    def place(self, now_s: float) -> None:
        """Move work from queues to instances that are free, into ``placements``."""
        if not self.changed:
            return
        self.changed = False
        running = self._running
        for queues in self._in_order:
            if not queues.changed:
                continue
            queues.changed = False
            while not queues.is_empty and (work := queues.place()) is not None:
                work.state = PLACED
                work.placed_s = now_s
                work.number = self._placed
                self._placed += self.frontends
                instance = work.instance
                if running[instance] is None:
                    running[instance] = work
                else:
                    self._further.setdefault(instance, set()).add(work)
                self.placements.append(work)
                if self._tells_placed:
                    self.policy.placed(work, now_s)

    # ---- actions of the policy

    def dispatch(self, work: Work) -> None:
        work.state = QUEUED
        queues = self._queues[work.role]
        queues.add(work, work.urgent)
        queues.changed = self.changed = True

    def cancel(self, work: Work) -> None:
        if work.state is QUEUED:
            work.state = CANCELLED
            queues = self._queues[work.role]
            queues.cancelled(work)
            queues.changed = True

    def stop(self, work: Work) -> None:
        if self.interrupts and work.state is PLACED and not work.stopping:
            work.stopping = True
            self.stops.append(work)

    def respond(self, batch: Batch, source: AnswerSource, work: Work | None) -> None:
        if batch.answered:
            return
        size = len(batch.queries)
        if size == 1 and batch.left is None and not batch.exact:
            group = batch.group
            if source is not RECONSTRUCTED or (group is not None and group.elements):
                batch.answered = True  # as `_answer` has it
                if self._waiting:
                    self._waiting.pop(batch, None)
                self.unanswered -= 1
                (self._tells or self._respond)(batch, ONE, source, work)
                return
        elements: Sequence[int] = range(size)
        if source is RECONSTRUCTED:
            assert batch.group is not None
            elements = range(min(batch.group.elements, size))
        if batch.exact and source in APPROXIMATE:
            elements = [element for element in elements if element not in batch.exact]
        self._answer(batch, elements, source, work)

    def set_timer(self, at_s: float, batch: Batch) -> None:
        timers = self._timers
        while timers and timers[0][2].answered:
            timers.popleft()
        self._timers_set += 1
        if not timers or at_s >= timers[-1][0]:
            timers.append((at_s, self._timers_set, batch))
        else:
            heapq.heappush(self._early_timers, (at_s, self._timers_set, batch))
        if at_s < self.due_s:
            self.due_s = at_s

    def queues(self, role: str) -> Queues:
        queues = self._queues[role]
        queues.changed = self.changed = True  # who asks may change who can be given what
        return queues

    def rest(self, instance: int) -> None:
        """As in the last release, for policies written for it; now a matter of :meth:`queues`."""
        self._of_instance[instance].rest(instance)
        self._note_change(instance)

    def trust(self, instance: int) -> None:
        """As in the last release, likewise."""
        self._of_instance[instance].trust(instance)
        self._note_change(instance)

    def leave_note(self, numbers: Sequence[float]) -> None:
        self.board.leave_note(self.frontend, numbers)

    def notes(self) -> Sequence[Sequence[float]]:
        return self.board.notes()

    def tell(self, numbers: Told) -> None:
        self.board.tell(self.frontend, numbers)

    def hear(self) -> Sequence[tuple[int, Told]]:
        heard: list[tuple[int, Told]] = []
        for frontend, so_far in enumerate(self._heard):
            if frontend != self.frontend:
                new, self._heard[frontend] = self.board.told(frontend, so_far)
                heard += [(frontend, numbers) for numbers in new]
        return heard

    def suspects(self, group: Group) -> Collection[int]:
        return self.judge.suspects(group)

    def agree(self, work: Work, other: Work) -> bool:
        return self.judge.agree(work, other)

    # ---- of queues

    def probe(self, queues: Queues, instance: int, delay_s: float) -> None:
        """Ask an instance of its load and its latency: ``queues.probed`` is told after the delay, there and back."""
        self._asked.append((self.now_s + delay_s / 2, self.now_s + delay_s, queues, instance))
        self._note_due(self.now_s + delay_s / 2)

    # ---- helpers

    def _go_on_probing(self, now_s: float) -> None:
        """Let probes come to their instances, or back; those of one discipline all take as long."""
        asked, told, board = self._asked, self._told, self.board
        while asked and asked[0][0] <= now_s:
            _, back_s, queues, instance = asked.popleft()
            if self._is_up[instance]:
                told.append((back_s, queues, instance, board.load[instance], board.latency_s(instance)))
                self._note_due(back_s)
        while told and told[0][0] <= now_s:
            _, queues, instance, load, latency_s = told.popleft()
            queues.probed(instance, load, latency_s)

    def _send_batch(self, now_s: float) -> None:
        batch = Batch(tuple(self._forming), now_s)
        if self.slo_s == inf:
            self._waiting[batch] = None
        else:
            for element, scheduled_s in enumerate(self._scheduled):
                self._deadlines.append((scheduled_s + self.slo_s, batch, element))
            self._note_due(self._deadlines[0][0])
        for deadline_s, element in self._sooner:
            self._own_deadlines_set += 1
            heapq.heappush(self._own_deadlines, (deadline_s, self._own_deadlines_set, batch, element))
            self._note_due(deadline_s)
        if self._exact:
            batch.exact = frozenset(self._exact)
        self._forming, self._scheduled, self._close_batch_s = [], [], inf
        self._sooner, self._exact = [], []
        self.policy.arrived(batch, now_s)

    def _leave(self, work: Work) -> None:
        """Work has left its instance, which goes on."""
        instance = work.instance
        self._drop(work, instance)
        if instance in self._ejected:
            assert self._ejection is not None
            if instance not in self._ejection.ejected:
                self._take_back([instance])
            return
        queues = self._of_instance[instance]
        queues.freed(instance)
        if not queues.is_empty:
            queues.changed = self.changed = True
        if self._refused[instance]:
            self._forgive(instance)

    def _has_work(self, instance: int) -> bool:
        """Whether an instance has any."""
        return self._running[instance] is not None or bool(self._further.get(instance))

    def _drop(self, work: Work, instance: int) -> None:
        """An instance has this work no longer."""
        if self._running[instance] is work:
            self._running[instance] = None
        elif instance in self._further:
            self._further[instance].discard(work)

    def _note_due(self, at_s: float) -> None:
        """Something is due at a time."""
        if at_s < self.due_s:
            self.due_s = at_s

    def _note_change(self, instance: int) -> None:
        """Something has happened to an instance: there may be work to place."""
        self._of_instance[instance].changed = self.changed = True

    def _eject(self, instances: list[int]) -> None:
        """Give instances nothing more."""
        for instance in instances:
            if self._is_up[instance] and instance not in self._ejected:
                self._refused[instance] = 0
                self._of_instance[instance].down(instance)
                self._ejected.add(instance)
                self._note_change(instance)
        if self._ejection is not None:
            self._note_due(self._ejection.due_s)

    def _take_back(self, instances: list[int]) -> None:
        """Use instances again; those that still have something, when they have done that."""
        for instance in instances:
            if instance in self._ejected and not self._has_work(instance):
                self._ejected.discard(instance)
                self._of_instance[instance].up(instance)
                self._note_change(instance)

    def _end_panic(self, gone: int) -> None:
        """Where nobody of a role is there but who is ejected, they come back."""
        assert self._ejection is not None
        mine = self._of_instance[gone].instances
        if not any(self._is_up[one] and one not in self._ejected for one in mine):
            self._take_back(self._ejection.panic(gone))

    def _retry(self) -> None:
        """Offer work again to instances that refused some and have none."""
        self._retry_s = inf
        self.changed = True
        for instance, refused in enumerate(self._refused):
            if refused and not self._has_work(instance) and instance not in self._ejected:
                self._forgive(instance)

    def _forgive(self, instance: int) -> None:
        """Give back the places of what an instance refused."""
        self._of_instance[instance].changed = True
        for _ in range(self._refused[instance]):
            self._of_instance[instance].freed(instance)
        self._refused[instance] = 0

    def _default(self, batch: Batch, element: int) -> bool:
        """Answer one element with the default; whether the whole batch has been answered by that."""
        if batch.answered:
            return False
        self._answer(batch, (element,), AnswerSource.DEFAULT, None)
        return batch.answered

    def _answer(self, batch: Batch, elements: Sequence[int], source: AnswerSource, work: Work | None) -> None:
        """Answer those of some elements that have no answer yet."""
        if batch.left is None and len(elements) < len(batch.queries):
            batch.left = set(range(len(batch.queries)))
        if batch.left is not None:
            elements = [element for element in elements if element in batch.left]
            batch.left.difference_update(elements)
            if not elements:
                return
        batch.answered = not batch.left
        if batch.answered:
            self._waiting.pop(batch, None)
        self.unanswered -= len(elements)
        (self._tells or self._respond)(batch, elements, source, work)

    def _respond(self, batch: Batch, elements: Sequence[int], source: AnswerSource, work: Work | None) -> None:
        """Leave an answer in ``responses``."""
        group = batch.group
        if group is None:
            self.responses.append(Response(batch, elements, source, work))
            return
        place = group.members.index(batch)
        if source in (RECONSTRUCTED, AnswerSource.BACKUP):
            own, parities = tuple(group.own), tuple(group.parities)
            self.responses.append(Response(batch, elements, source, work, group.number, place, own, parities))
        else:
            self.responses.append(Response(batch, elements, source, work, group.number, place))
