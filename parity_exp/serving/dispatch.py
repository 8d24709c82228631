"""Between a desk and a pool: tasks go to instances, what becomes of them goes to the desk, predictions come out.

Both who plays a load and who answers clients over a network stand on this. It takes no decisions, which are the desk's
and the policy's, and it does not wait, which is its drivers' to do, in ``pool.poll``.
"""

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from parity_exp import tasks
from parity_exp.policies.desk import Desk, Response
from parity_exp.policies.policy import AnswerSource, Work
from parity_exp.recordings.costs import Given
from parity_exp.recordings.recorder import Outcome, Recorder
from parity_exp.recordings.troubles import DIED, HUNG, NOT_FINITE, RAISED, Troubles
from parity_exp.serving.group_coder import GroupCoder
from parity_exp.serving.pool import Down, Event, Finished, Instances, Raised, Stopped
from parity_exp.serving.spent import Spent

HANGS_S, HANGS_TIMES = 1.0, 20.0
"""A task hangs that is under way for longer than this, and than so many typical ones, when the run ends."""


LATEST_STOPS = 100_000
"""So many times that instances took to stop are kept."""


class Dispatch(ABC):
    """Base class of frontends.

    Args:
        pool: started, with the desk's instances.
        desk: runs the policy.
        coder: encodes and decodes; None for policies without a code.
        recorder: is told everything.
        task: says what clients are told.
        default: the default prediction, ``(*out)``.
        troubles: is told what goes wrong.

    Attributes:
        tasks: what instances have, by number.
        given: how many queries instances were given.
    """

    def __init__(
        self,
        pool: Instances,
        desk: Desk,
        coder: GroupCoder | None,
        recorder: Recorder,
        task: tasks.Task,
        default: Tensor,
        troubles: Troubles | None = None,
    ) -> None:
        self.pool = pool
        self.desk = desk
        self.coder = coder
        self.recorder = recorder
        self.task = task
        self.default = default
        self.tasks: dict[int, Work] = {}
        self.given = Given()
        self.troubles = Troubles() if troubles is None else troubles
        self.cpu_s = 0.0
        self._told_s: dict[int, float] = {}  # when instances were told to stop at tasks
        self._stopping_s: deque[float] = deque(maxlen=LATEST_STOPS)
        self._stopped = 0
        self._stopped_in_vain = 0
        self._answered = 0
        self._zero_s = math.inf

    @abstractmethod
    def _query(self, query: int) -> Tensor:
        """What a query asks, ``(*query_shape)``."""

    @abstractmethod
    def _queries(self, queries: tuple[int, ...]) -> Tensor:
        """What several ask, one at least, ``(n, *query_shape)``."""

    @abstractmethod
    def _is_first(self, query: int) -> bool:
        """Whether no instance has been given a query before; asked each time that one is."""

    @abstractmethod
    def _respond(self) -> None:
        """Answer clients with what the desk has for them."""

    @property
    def _is_stuck(self) -> bool:
        """Whether queries wait, and nothing that is there could answer them."""
        return bool(self.desk.unanswered) and not self.tasks and self.desk.is_stuck

    def _carry_out(self, now_s: float) -> None:
        """Do what the desk has decided."""
        desk = self.desk
        if desk.placements:
            self._send()
        if desk.stops:
            self._stop(now_s)
        if desk.responses:
            self._respond()

    # ---- to instances

    def _send(self) -> None:
        placements, self.desk.placements = self.desk.placements, []
        for task in placements:
            if self.pool.send(task.instance, task.number, task.model, self._input(task)):
                self.tasks[task.number] = task
                self._count(task)
            else:
                self.desk.refused(task)

    def _stop(self, now_s: float) -> None:
        """Tell instances to stop at what nobody needs any more."""
        stops, self.desk.stops = self.desk.stops, []
        for task in stops:
            if task.number in self.tasks:
                self._told_s[task.number] = now_s
                self.pool.interrupt(task.instance, task.number)

    def _count(self, task: Work) -> None:
        """Count the queries that an instance was given: for the first time, as parity queries, or once more."""
        if task.batch is None:
            assert task.group is not None
            self.given.parity += task.group.elements
        elif self._is_first(task.batch.queries[0]):
            self.given.first += len(task.batch.queries)
        else:
            self.given.repeated += len(task.batch.queries)

    def _input(self, task: Work) -> Tensor:
        """What a task's model is to see, ``(n, *query_shape)``."""
        if task.batch is None:
            assert task.group is not None and self.coder is not None
            return self.coder.encode(task.group, task.row, self._query)
        return self._queries(task.batch.queries)

    # ---- from instances

    def _handle(self, event: Event, now_s: float) -> None:
        if isinstance(event, Finished | Raised) and self._told_s.pop(event.task, None) is not None:
            self._stopped_in_vain += 1
        if isinstance(event, Finished):
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self._record(
                    task, event.started_s - self._zero_s, event.finished_s - self._zero_s, "done", event.corrupted
                )
                if not event.corrupted and not is_finite(event.outputs):
                    what = "NaN" if event.outputs.isnan().any() else "infinity"
                    self.troubles.note(NOT_FINITE, task.model, event.instance, what)
                ended_s = event.finished_s - self._zero_s
                self.desk.finished(task, now_s, event.outputs, ended_s, event.finished_s - event.started_s)
        elif isinstance(event, Raised):
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self.troubles.note(RAISED, task.model, event.instance, event.error)
                self._record(task, math.nan, now_s, "raised")
                self.desk.failed(task, now_s)
        elif isinstance(event, Stopped):
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self._stopped += 1
                self._stopping_s.append(now_s - self._told_s.pop(event.task, now_s))
                self._record(task, event.started_s - self._zero_s, event.finished_s - self._zero_s, "stopped")
                self.desk.stopped(task, now_s)
        elif isinstance(event, Down):
            note_end(event, self.troubles)
            for number in [number for number, task in self.tasks.items() if task.instance == event.instance]:
                self._told_s.pop(number, None)
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

    # ---- to clients

    def _predictions(self, response: Response) -> Tensor | None:
        """What queries are answered with, ``(elements, *out)``; None for those that nothing could answer."""
        source, elements = response.source, response.elements
        if source is AnswerSource.ERROR:
            return None
        if source is AnswerSource.DEFAULT:
            return self.default.expand(len(elements), *self.default.shape)
        if source is AnswerSource.RECONSTRUCTED or (response.work is not None and response.work.batch is None):
            assert self.coder is not None
            decoded = [self.coder.decode(response, element) for element in elements]
            outputs = decoded[0].unsqueeze(0) if len(decoded) == 1 else torch.stack(decoded)
        else:
            assert response.work is not None
            outputs = response.work.result
            if len(elements) < len(outputs):
                outputs = outputs[list(elements)]
        if not is_finite(outputs):
            for element, prediction in zip(elements, outputs, strict=True):
                if not is_finite(prediction):
                    self.recorder.not_finite(response.batch.queries[element], self.desk.policy.flags_answers)
        return outputs

    def metrics(self) -> dict[str, float]:
        """What answering has cost, warm-up included: :meth:`Given.costs`, and what encoding and decoding took.

        ``frontend_us`` is the frontend's CPU time a query, encoding and decoding included. Where instances were told to
        stop: ``stopped_tasks``, ``stopped_in_vain`` (they were done before), and ``stop_us``, the median time from the
        order until the frontend hears that the instance is free.
        """
        spent = self.spent()
        costs = spent.costs(self.desk.policy.replaces_queries, self.pool.interrupts)
        return costs | self.troubles.metrics() | self.recorder.not_finite_metrics() | spent.times()

    def spent(self) -> Spent:
        """What answering has taken until now."""
        coder = self.coder
        coded = ([], []) if coder is None else (coder.encode_s, coder.decode_s)
        return Spent(
            self.given, self._answered, self.cpu_s, self._stopped, list(self._stopping_s), self._stopped_in_vain, *coded
        )


def note_end(event: Down, troubles: Troubles) -> None:
    """Take note of the end of an instance that nobody wanted."""
    if not event.on_demand:
        troubles.note(HUNG if event.hung else DIED, "", event.instance, event.reason)


def is_finite(outputs: Tensor) -> bool:
    """Whether all numbers are finite; quick where they are."""
    return math.isfinite(float(outputs.numpy().sum())) or bool(outputs.isfinite().all())


def origin(response: Response, coder: GroupCoder | None) -> Iterator[int]:
    """Numbers of the tasks whose outputs went into an answer; of reconstructions the coder knows which they are."""
    if response.source is AnswerSource.RECONSTRUCTED:
        assert coder is not None
        return (task.number for task in coder.read(response) if task is not None)
    return (task.number for task in (response.work,) if task is not None)
