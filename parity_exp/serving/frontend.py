"""The frontend: one loop that brings queries to the desk, tasks to instances, results back, and answers to clients.

It runs the same policies over real instances that a simulation runs over a heap of events. Everything that takes a
decision is in the desk and the policy; everything that waits is in ``pool.poll``, and every wait ends: each query is
answered by its SLO at the latest, or, where there is none, when its tasks have ended, which the pool sees to, or when
nothing is left that could answer it. The run ends when all are.
"""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parity_exp import tasks
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings.recorder import Answer, Recorder
from parity_exp.recordings.troubles import Troubles
from parity_exp.serving.absences import Absences
from parity_exp.serving.clients import AllClients, Clients
from parity_exp.serving.dispatch import Dispatch, origin
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.group_coder import GroupCoder
from parity_exp.serving.pool import Down, Event, Instances, Up

LEAD_S = 0.02
"""Time between the order to begin and the beginning of the run, for the order to reach everybody."""

LONGEST_POLL_S = 0.5
TELL_S = 0.25


@dataclass(frozen=True)
class Workload:
    """What clients ask and when.

    Attributes:
        queries: ``(N, *query_shape)``, the test split as networks see it.
        labels: ``(N, *label)``, true ones.
        sample_of: ``(total,)``, the test sample that each query is.
        arrivals_s: scheduled arrivals from the beginning of the run, ascending; of a closed loop each client's first.
        think_s: of a closed loop: a client's next query follows this long after its answer. None for open loops.
        task: says what clients are told.
        default: the default prediction, ``(*out)``.
    """

    queries: Tensor
    labels: Tensor
    sample_of: np.ndarray
    arrivals_s: np.ndarray
    think_s: float | None
    task: tasks.Task
    default: Tensor


class Frontend(Dispatch):
    """Serves a workload under one policy.

    Args:
        pool: started, with the desk's instances.
        desk: runs the policy.
        coder: encodes and decodes; None for policies without a code.
        workload: the queries.
        recorder: is told everything.
        disturber: started; carries out the straggler trace.
        progress: is told now and then how many queries have been answered.
        troubles: is told what goes wrong.
        absences: which instances are not to be used when; None: all always are.
        clients: who ask; None: all of the workload's.
    """

    def __init__(
        self,
        pool: Instances,
        desk: Desk,
        coder: GroupCoder | None,
        workload: Workload,
        recorder: Recorder,
        disturber: Disturber | None = None,
        progress: Callable[[int], None] = lambda _: None,
        troubles: Troubles | None = None,
        absences: Absences | None = None,
        clients: Clients | None = None,
    ) -> None:
        super().__init__(pool, desk, coder, recorder, workload.task, workload.default, troubles)
        self.absences = absences or Absences((), 0)
        self.disturber = disturber
        self.progress = progress
        self.queries = workload.queries
        self.labels: list[Answer] = workload.labels.tolist()
        self.answer = workload.task.answer
        self.default_answer: Answer = self.answer(workload.default).tolist()
        self.sample_of: list[int] = workload.sample_of.tolist()
        self.clients = clients or AllClients(workload.arrivals_s.tolist(), len(self.sample_of), workload.think_s)
        self._placed = bytearray(len(self.sample_of))

    def run(self, zero_s: float | None = None) -> None:
        """Serve all queries, and return when each has its answer.

        Args:
            zero_s: when the run begins, by ``time.monotonic()``; None: soon.

        Raises:
            KeyboardInterrupt: Ctrl-C; the recorder holds what happened until then.
        """
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()  # what the loop makes is freed by reference counts; a collection would be a pause
        self._zero_s = time.monotonic() + LEAD_S if zero_s is None else zero_s
        cpu_s = time.thread_time()
        try:
            with torch.inference_mode():
                self._loop()
        finally:
            self.cpu_s = time.thread_time() - cpu_s
            self._note_hanging()
            if collecting:
                gc.enable()

    def _loop(self) -> None:
        clock, desk, pool, clients, zero_s = time.monotonic, self.desk, self.pool, self.clients, self._zero_s
        pool.begin(zero_s)
        if self.disturber is not None:
            self.disturber.begin(zero_s)
        for instance in self.absences.from_the_beginning():
            desk.down(instance, 0.0)
        disturb_s = math.inf if self.disturber is None else 0.0
        tell_s = 0.0
        while True:
            now_s = clock() - zero_s
            if now_s >= tell_s:
                self.progress(self._answered)
                tell_s = now_s + TELL_S
            if clients.next_s <= now_s:
                for query, scheduled_s in clients.due(now_s):
                    self._arrive(query, scheduled_s, now_s)
            if self.disturber is not None and now_s >= disturb_s:
                disturb_s = self.disturber.tick(now_s + zero_s) - zero_s
            if now_s >= self.absences.next_s:
                for instance in self.absences.over(now_s):
                    desk.up(instance)
            desk.wake(now_s)
            desk.place(now_s)
            if self._is_stuck and clients.are_quiet():
                desk.give_up(now_s)
            self._carry_out(now_s)
            if clients.are_served:
                self.progress(self._answered)
                return
            until_s = min(clients.next_s, desk.wakes_s(), disturb_s, self.absences.next_s)
            timeout_s = until_s - (clock() - zero_s)
            for event in pool.poll(min(max(timeout_s, 0.0), LONGEST_POLL_S)):
                self._handle(event, clock() - zero_s)

    def _handle(self, event: Event, now_s: float) -> None:
        if isinstance(event, Up) and self.absences.holds_back(event.instance, now_s):
            return
        if isinstance(event, Down):
            self.absences.died(event.instance)
        super()._handle(event, now_s)

    def _arrive(self, query: int, scheduled_s: float, now_s: float) -> None:
        self.recorder.sent(query, scheduled_s, now_s, self.labels[self.sample_of[query]])
        self.desk.arrive(query, scheduled_s, now_s)

    def _query(self, query: int) -> Tensor:
        return self.queries[self.sample_of[query]]

    def _queries(self, queries: tuple[int, ...]) -> Tensor:
        samples = [self.sample_of[query] for query in queries]
        if len(samples) == 1:
            return self.queries[samples[0] : samples[0] + 1]
        return self.queries[samples]

    def _is_first(self, query: int) -> bool:
        first = not self._placed[query]
        self._placed[query] = True
        return first

    def _respond(self) -> None:
        responses, self.desk.responses = self.desk.responses, []
        for response in responses:
            instance = -1 if response.work is None else response.work.instance
            predictions = self._predictions(response)
            answers: Sequence[Answer]
            if predictions is None:
                answers = [self.task.no_answer] * len(response.elements)
            elif response.source is AnswerSource.DEFAULT:
                answers = [self.default_answer] * len(response.elements)
            else:
                answers = self.answer(predictions).tolist()
            corrupted = self.recorder.is_corrupted(origin(response, self.coder))
            now_s = time.monotonic() - self._zero_s
            for element, predicted in zip(response.elements, answers, strict=True):
                query = response.batch.queries[element]
                self.recorder.answered(query, now_s, response.source, instance, response.group, predicted, corrupted)
            self._answered += len(answers)
            self.clients.answered(len(answers), now_s)
