"""The frontend of a live endpoint: clients' queries in the place of a played load, and predictions in that of scores.

It waits for nothing: who drives it (``driver.py``) lets it take a turn when there is something to do, in the thread
that clients are heard in, so that no query changes threads, and none waits until a thread may have the interpreter.
Its time, and that of the straggler trace, begins with the first query.

Rules:

* Every query that has come in is answered, also when the frontend is told to end: then with an error.
* What is over is forgotten: memory does not grow with the queries that have been.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from parity_exp import tasks
from parity_exp.endpoint.asked import Asked, LiveQuery
from parity_exp.endpoint.watch import Watch
from parity_exp.policies.desk import Desk
from parity_exp.recordings.latest import LatestRecorder
from parity_exp.recordings.recorder import Answer
from parity_exp.recordings.troubles import Troubles
from parity_exp.serving.absences import Absences
from parity_exp.serving.dispatch import Dispatch, origin
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.group_coder import GroupCoder
from parity_exp.serving.pool import Down, Event, Pool, Up

log = logging.getLogger(__name__)

LATEST_CODED = 10_000
"""So many times that encoding and decoding took are kept."""

LOOK_S = 1.0
"""How often the watch is told of what only counts once in a while."""


class LiveFrontend(Dispatch):
    """Serves what clients ask under one policy, until it is told to end.

    Attributes:
        busy: is called when there is something to do before the time that :meth:`turn` has said.

    Args:
        pool: started, with the desk's instances.
        desk: runs the policy; without a deadline of its own.
        coder: encodes and decodes; None for policies without a code.
        recorder: is told everything.
        task: says what a prediction means.
        default: the default prediction, ``(*out)``.
        watch: is told what people and monitoring want to know.
        answered: is called with everything that has just been answered.
        disturber: started; carries out the straggler trace.
        troubles: is told what goes wrong.
        absences: which instances are not to be used when; None: all always are.
    """

    recorder: LatestRecorder

    def __init__(
        self,
        pool: Pool,
        desk: Desk,
        coder: GroupCoder | None,
        recorder: LatestRecorder,
        task: tasks.Task,
        default: Tensor,
        watch: Watch,
        answered: Callable[[list[Asked]], None],
        disturber: Disturber | None = None,
        troubles: Troubles | None = None,
        absences: Absences | None = None,
    ) -> None:
        super().__init__(pool, desk, coder, recorder, task, default, troubles)
        self.watch = watch
        self.answered = answered
        self.disturber = disturber
        self.absences = absences or Absences((), 0)
        self._asked: deque[Asked] = deque()
        self._gone: deque[Asked] = deque()
        self._ending = False
        self._sent = 0
        self._disturb_s = math.inf
        self._look_s = 0.0
        self._coded: tuple[deque[float], deque[float]] = (deque(maxlen=LATEST_CODED), deque(maxlen=LATEST_CODED))
        self.busy: Callable[[], None] = lambda: None

    def ask(self, asked: Asked) -> None:
        """Take what a client asks."""
        self._asked.append(asked)
        self.busy()

    def leave(self, asked: Asked) -> None:
        """Nobody waits for that any more."""
        asked.gone = True
        self._gone.append(asked)
        self.busy()

    def end(self) -> None:
        """Answer what is there with an error; nothing is taken from now on."""
        self._ending = True
        self.turn()

    def begin(self) -> None:
        """Instances that are not there at the beginning of the trace are not there from now on."""
        for instance in self.absences.from_the_beginning():
            self.desk.down(instance, 0.0)
            self.watch.away(instance)

    def turn(self) -> float:
        """Do what is to be done; returns when there will be more, in ``time.monotonic()``, unless something comes."""
        desk, asked = self.desk, self._asked
        for event in self.pool.poll(0.0):
            self._handle(event, self._now_s())
        if self._zero_s == math.inf and asked:
            self._begin_trace(asked[0].arrived_s)
        zero_s, now_s = self._zero_s, self._now_s()
        while asked:
            self._arrive(asked.popleft(), now_s)
        while self._gone:
            desk.abandon(self._gone.popleft().numbers, now_s)
        if self.disturber is not None and now_s >= self._disturb_s:
            self._disturb_s = self.disturber.tick(now_s + zero_s) - zero_s
        if now_s >= self.absences.next_s:
            for instance in self.absences.over(now_s):
                desk.up(instance)
                self.watch.back(instance)
        desk.wake(now_s)
        desk.place(now_s)
        if self._is_stuck or self._ending:
            desk.give_up(now_s)
        self._carry_out(now_s)
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            self._look()
        if asked or desk.placements:
            return time.monotonic()
        return min(desk.wakes_s(), self._disturb_s, self._look_s, self.absences.next_s) + zero_s

    def _now_s(self) -> float:
        """Seconds since the first query; until it comes, time stands still."""
        return max(time.monotonic() - self._zero_s, 0.0)

    def _begin_trace(self, zero_s: float) -> None:
        """Let the trace begin: what clients measure is then what a played load measures, whenever they come."""
        self._zero_s = zero_s
        self.pool.begin(zero_s)
        self.watch.trace_begins(zero_s)
        if self.disturber is not None:
            self.disturber.begin(zero_s)
            self._disturb_s = 0.0

    def _arrive(self, asked: Asked, now_s: float) -> None:
        if asked.gone:
            self.answered([asked])  # so that nobody counts it among those that wait
            return
        scheduled_s, deadline_s = asked.arrived_s - self._zero_s, asked.deadline_s - self._zero_s
        asked.numbers = range(self._sent, self._sent + len(asked))
        for place in range(len(asked)):
            query = LiveQuery.of(self._sent, asked, place)
            self._sent += 1
            self.recorder.sent(query, scheduled_s, now_s)
            self.desk.arrive(query, scheduled_s, now_s, deadline_s, asked.exact)

    def _query(self, query: int) -> Tensor:
        return cast(LiveQuery, query).tensor

    def _queries(self, queries: tuple[int, ...]) -> Tensor:
        first = cast(LiveQuery, queries[0])
        if len(queries) == 1:
            return first.asked.inputs[first.place : first.place + 1]
        return torch.stack([self._query(query) for query in queries])

    def _is_first(self, query: int) -> bool:
        live = cast(LiveQuery, query)
        first, live.placed = not live.placed, True
        return first

    def _respond(self) -> None:
        responses, self.desk.responses = self.desk.responses, []
        done: list[Asked] = []
        for response in responses:
            source = response.source
            instance = -1 if response.work is None else response.work.instance
            predictions = self._predictions(response)
            count = len(response.elements)
            answers: Sequence[Answer] = [self.task.no_answer] * count
            rows: Any = [None] * count
            if predictions is not None:
                answers, rows = self.task.answer(predictions).tolist(), predictions.numpy()
            corrupted = self.recorder.is_corrupted(origin(response, self.coder))
            clock_s = time.monotonic()
            now_s = clock_s - self._zero_s
            for element, predicted, row in zip(response.elements, answers, rows, strict=True):
                query = cast(LiveQuery, response.batch.queries[element])
                self.recorder.answered(query, now_s, source, instance, response.group, predicted, corrupted)
                asked = query.asked
                if not asked.gone:
                    self.watch.answered(source, clock_s - asked.arrived_s)
                if asked.answer(query.place, row, source, instance, clock_s):
                    done.append(asked)
            self._answered += count
        if done:
            self.answered(done)

    def _handle(self, event: Event, now_s: float) -> None:
        """As for other frontends, with an account of instances that come and go for the watch."""
        if isinstance(event, Up):
            if self.absences.holds_back(event.instance, now_s):
                return
            self.watch.up(event.instance)
        elif isinstance(event, Down):
            self.absences.died(event.instance)
            if self.absences.away(event.instance, now_s):
                self.watch.away(event.instance)
            else:
                self.watch.down(event.instance, event.reason)
        super()._handle(event, now_s)

    def _look(self) -> None:
        """Tell the watch of what is counted elsewhere, and forget what has been told."""
        self.watch.counts(self.given, self.desk.unanswered, self.recorder.flagged)
        self.watch.queues(self.desk.pending, self.desk.waiting)
        self.watch.resting(self.desk.resting)
        if self.coder is not None:
            self.watch.coded(self.coder.encode_s, self.coder.decode_s)
            self._coded[0].extend(self.coder.encode_s)
            self._coded[1].extend(self.coder.decode_s)
            self.coder.encode_s, self.coder.decode_s = [], []

    def metrics(self) -> dict[str, float]:
        """As for other frontends; what encoding and decoding took is that of the latest of each."""
        if self.coder is not None:
            self._look()
            self.coder.encode_s, self.coder.decode_s = map(list, self._coded)
        return super().metrics()
