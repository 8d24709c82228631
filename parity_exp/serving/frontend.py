"""The frontend: one loop that brings queries to the desk, tasks to instances, results back, and answers to clients.

It runs the same policies over real instances that a simulation runs over a heap of events. Everything that takes a
decision is in the desk and the policy; everything that waits is in ``pool.poll``, and every wait ends: each query is
answered by its SLO at the latest, or, where there is none, when its tasks have ended, which the pool sees to, or when
nothing is left that could answer it. The run ends when all are.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import torch
from torch import Tensor

from parity_exp import tasks
from parity_exp.policies.desk import Desk, Response
from parity_exp.policies.policy import AnswerSource, Work
from parity_exp.recordings.costs import Given
from parity_exp.recordings.recorder import Answer, Outcome, Recorder
from parity_exp.recordings.troubles import DIED, HUNG, NOT_FINITE, RAISED, Troubles
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.group_coder import GroupCoder
from parity_exp.serving.pool import Down, Finished, Pool, Raised, Up

LEAD_S = 0.02
"""Time between the order to begin and the beginning of the run, for the order to reach everybody."""

HANGS_S, HANGS_TIMES = 1.0, 20.0
"""A task hangs that is under way for longer than this, and than so many typical ones, when the run ends."""

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


class Frontend:
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
    """

    def __init__(
        self,
        pool: Pool,
        desk: Desk,
        coder: GroupCoder | None,
        workload: Workload,
        recorder: Recorder,
        disturber: Disturber | None = None,
        progress: Callable[[int], None] = lambda _: None,
        troubles: Troubles | None = None,
    ) -> None:
        self.pool = pool
        self.desk = desk
        self.coder = coder
        self.recorder = recorder
        self.disturber = disturber
        self.progress = progress
        self.workload = workload
        self.queries = workload.queries
        self.labels: list[Answer] = workload.labels.tolist()
        self.answer = workload.task.answer
        self.default_answer: Answer = self.answer(workload.default).tolist()
        self.sample_of: list[int] = workload.sample_of.tolist()
        self.think_s = workload.think_s
        self.due_s: list[float] = workload.arrivals_s.tolist()
        self.tasks: dict[int, Work] = {}
        self.given = Given()
        self.troubles = Troubles() if troubles is None else troubles
        self._placed = bytearray(len(self.sample_of))
        self.cpu_s = 0.0
        self._sent = 0
        self._answered = 0
        self._zero_s = math.inf

    def run(self) -> None:
        """Serve all queries, and return when each has its answer.

        Raises:
            KeyboardInterrupt: Ctrl-C; the recorder holds what happened until then.
        """
        heapify(self.due_s)
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()  # what the loop makes is freed by reference counts; a collection would be a pause
        cpu_s = time.thread_time()
        try:
            with torch.inference_mode():
                self._loop(len(self.sample_of))
        finally:
            self.cpu_s = time.thread_time() - cpu_s
            self._note_hanging()
            if collecting:
                gc.enable()

    def _loop(self, total: int) -> None:
        clock, desk, pool, due_s = time.monotonic, self.desk, self.pool, self.due_s
        zero_s = self._zero_s = clock() + LEAD_S
        pool.begin(zero_s)
        if self.disturber is not None:
            self.disturber.begin(zero_s)
        disturb_s = math.inf if self.disturber is None else 0.0
        tell_s = 0.0
        while True:
            now_s = clock() - zero_s
            if now_s >= tell_s:
                self.progress(self._answered)
                tell_s = now_s + TELL_S
            while due_s and due_s[0] <= now_s:
                self._arrive(heappop(due_s), now_s)
            if self.disturber is not None and now_s >= disturb_s:
                disturb_s = self.disturber.tick(now_s + zero_s) - zero_s
            desk.wake(now_s)
            desk.place(now_s)
            if not self.tasks and not due_s and desk.is_stuck:
                desk.give_up(now_s)
            if desk.placements:
                self._send()
            if desk.responses:
                self._respond()
                if self._answered == total:
                    self.progress(total)
                    return
            until_s = min(due_s[0] if due_s else math.inf, desk.wakes_s(), disturb_s)
            timeout_s = until_s - (clock() - zero_s)
            for event in pool.poll(min(max(timeout_s, 0.0), LONGEST_POLL_S)):
                self._handle(event, clock() - zero_s)

    def _arrive(self, scheduled_s: float, now_s: float) -> None:
        query = self._sent
        if query == len(self.sample_of):
            return  # a closed loop's clients would go on for ever
        self._sent += 1
        self.recorder.sent(query, scheduled_s, now_s, self.labels[self.sample_of[query]])
        self.desk.arrive(query, scheduled_s, now_s)

    def _send(self) -> None:
        placements, self.desk.placements = self.desk.placements, []
        for task in placements:
            if self.pool.send(task.instance, task.number, task.model, self._input(task)):
                self.tasks[task.number] = task
                self._count(task)
            else:
                self.desk.refused(task)

    def _count(self, task: Work) -> None:
        """Count the queries that an instance was given: for the first time, as parity queries, or once more."""
        if task.batch is None:
            assert task.group is not None
            self.given.parity += task.group.elements
        elif self._placed[task.batch.queries[0]]:
            self.given.repeated += len(task.batch.queries)
        else:
            self._placed[task.batch.queries[0]] = True
            self.given.first += len(task.batch.queries)

    def _input(self, task: Work) -> Tensor:
        """What a task's model is to see, ``(n, *query_shape)``."""
        if task.batch is None:
            assert task.group is not None and self.coder is not None
            return self.coder.encode(task.group, task.row, self.queries, self.sample_of)
        samples = [self.sample_of[query] for query in task.batch.queries]
        if len(samples) == 1:
            return self.queries[samples[0] : samples[0] + 1]
        return self.queries[samples]

    def _handle(self, event: Finished | Raised | Down | Up, now_s: float) -> None:
        if isinstance(event, Finished):
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self._record(
                    task, event.started_s - self._zero_s, event.finished_s - self._zero_s, "done", event.corrupted
                )
                if not event.corrupted and not _is_finite(event.outputs):
                    what = "NaN" if event.outputs.isnan().any() else "infinity"
                    self.troubles.note(NOT_FINITE, task.model, event.instance, what)
                self.desk.finished(task, now_s, event.outputs)
        elif isinstance(event, Raised):
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self.troubles.note(RAISED, task.model, event.instance, event.error)
                self._record(task, math.nan, now_s, "raised")
                self.desk.failed(task, now_s)
        elif isinstance(event, Down):
            if not event.on_demand:
                self.troubles.note(HUNG if event.hung else DIED, "", event.instance, event.reason)
            for number in [number for number, task in self.tasks.items() if task.instance == event.instance]:
                self._record(self.tasks.pop(number), math.nan, now_s, "lost")
            self.desk.down(event.instance, now_s, event.final)
        else:
            self.desk.up(event.instance)

    def _note_hanging(self) -> None:
        """Take note of tasks that have been under way for so long that they seem to hang, now that the run ends."""
        if not self.tasks:
            return
        now_s = time.monotonic() - self._zero_s
        longest_s = max(HANGS_S, HANGS_TIMES * self.recorder.typical_task_s())
        seen: set[int] = set()
        for task in self.tasks.values():  # in the order in which an instance has them
            spent_s = now_s - task.placed_s
            if task.instance not in seen and spent_s > longest_s:
                text = f"one task had been under way for {spent_s:.3g} s when the run ended"
                self.troubles.note(HUNG, "", task.instance, text)
            seen.add(task.instance)

    def _record(
        self, task: Work, started_s: float, finished_s: float, outcome: Outcome, corrupted: bool = False
    ) -> None:
        batch = -1 if task.batch is None else task.batch.queries[0]
        group = task.group or (task.batch.group if task.batch is not None else None)
        self.recorder.task(
            task.number, task.model, task.instance, task.placed_s, started_s, finished_s, outcome, batch,
            -1 if group is None else group.number, corrupted,
        )  # fmt: skip

    def _respond(self) -> None:
        responses, self.desk.responses = self.desk.responses, []
        for response in responses:
            instance = -1 if response.work is None else response.work.instance
            answers = self._answers(response)
            corrupted = self.recorder.is_corrupted(_origin(response))
            now_s = time.monotonic() - self._zero_s
            for element, predicted in zip(response.elements, answers, strict=True):
                query = response.batch.queries[element]
                self.recorder.answered(query, now_s, response.source, instance, response.group, predicted, corrupted)
            self._answered += len(answers)
            if self.think_s is not None:
                for _ in answers:
                    heappush(self.due_s, now_s + self.think_s)

    def _answers(self, response: Response) -> Sequence[Answer]:
        """What each query's client is told."""
        if response.source is AnswerSource.DEFAULT:
            return [self.default_answer] * len(response.elements)
        if response.source is AnswerSource.ERROR:
            return [self.workload.task.no_answer] * len(response.elements)
        if response.source is AnswerSource.RECONSTRUCTED:
            assert self.coder is not None
            decoded = [self.coder.decode(response, element) for element in response.elements]
            for element, prediction in zip(response.elements, decoded, strict=True):
                if not _is_finite(prediction):
                    self._note_not_finite(response, element)
            return [self.answer(prediction).tolist() for prediction in decoded]
        assert response.work is not None
        outputs: Tensor = response.work.result
        if not _is_finite(outputs):
            for element in response.elements:
                if not _is_finite(outputs[element]):
                    self._note_not_finite(response, element)
        answers: list[Answer] = self.answer(outputs).tolist()
        return [answers[element] for element in response.elements]

    def _note_not_finite(self, response: Response, element: int) -> None:
        self.recorder.not_finite(response.batch.queries[element], self.desk.policy.flags_answers)

    def metrics(self) -> dict[str, float]:
        """What answering has cost, warm-up included: :meth:`Given.costs`, and what encoding and decoding took.

        ``frontend_us`` is the frontend's CPU time a query, encoding and decoding included.
        """
        costs = {"frontend_us": self.cpu_s / max(self._answered, 1) * 1e6}
        costs |= self.given.costs(self._answered, self.desk.policy.replaces_queries)
        costs |= self.troubles.metrics() | self.recorder.not_finite_metrics()
        return costs | (self.coder.metrics() if self.coder is not None else {})


def _is_finite(outputs: Tensor) -> bool:
    """Whether all numbers are finite; quick where they are."""
    return math.isfinite(float(outputs.numpy().sum())) or bool(outputs.isfinite().all())


def _origin(response: Response) -> Iterator[int]:
    """Numbers of the tasks whose outputs went into an answer."""
    if response.source is AnswerSource.RECONSTRUCTED:
        return (task.number for task in (*response.own, *response.parities) if task is not None)
    return (task.number for task in (response.work,) if task is not None)
