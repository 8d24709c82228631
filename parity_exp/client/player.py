"""Plays a load against a server: requests go out when they are due, whatever has become of those before."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from parity_exp.client.alarm import Alarm
from parity_exp.client.asking import MALFORMED, Ask, Client, LostError, Reply
from parity_exp.client.questions import Questions, prediction_of
from parity_exp.policies.policy import SOURCES, AnswerSource
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.troubles import Troubles
from parity_exp.tasks import Task

LEAD_S = 0.05
"""The load begins so long after everything is ready."""

SWEEP_S = 0.02
"""How often is looked for what is over without an answer."""

CACHED_BYTES = 128 * 2**20
"""Requests that are made once and sent again are kept up to this size."""

OWN = int(AnswerSource.OWN)
NUMBER_OF = {name: number for number, name in enumerate(SOURCES)}


@dataclass(frozen=True)
class Workload:
    """What is played.

    Attributes:
        questions: makes requests.
        sample_of: ``(queries,)``, what each asks.
        arrivals_s: ``(queries,)``, when each is due; of a closed loop each client's first.
        think_s: of a closed loop, how long after an answer its client asks again; None: an open loop.
        slo_s: so long after it was due a query has the default prediction; infinity: never.
        labels: ``(N, *label)``; None: there are none.
        task: says what predictions mean; None: nobody looks at them.
        default: the default answer.
        output: name of the output that is the prediction; None: the first.
        batch: queries in a request.
        parameters: of each request.
    """

    questions: Questions
    sample_of: NDArray[np.int64]
    arrivals_s: NDArray[np.float64]
    think_s: float | None
    slo_s: float
    labels: torch.Tensor | None
    task: Task | None
    default: Any
    output: str | None
    batch: int
    parameters: Mapping[str, float | bool]

    @property
    def total(self) -> int:
        """Queries, warm-up included."""
        return len(self.sample_of)


class Player:
    """Plays a load, until all is answered or lost, or it is told to stop.

    Args:
        client: asks the server.
        workload: what is played.
        recorder: is told everything.
        troubles: is told why queries have no answer.
        move: is told how many queries are over.

    Attributes:
        lost: queries without an answer, by why.
    """

    def __init__(
        self,
        client: Client,
        workload: Workload,
        recorder: Recorder,
        troubles: Troubles,
        move: Callable[[int], None],
    ) -> None:
        self.client, self.workload, self.recorder = client, workload, recorder
        self.troubles, self.move = troubles, move
        self.lost: Counter[str] = Counter()
        self._labels = None if workload.labels is None else workload.labels.tolist()
        self._payloads: dict[tuple[int, ...], Any] = {}
        self._cached = 0
        self._sent = self._over = 0
        self._zero_s = inf
        self._waiting: deque[tuple[float, int]] = deque()  # deadline and query, in the order of deadlines
        self._open: set[int] = set()
        self._due: deque[float] = deque()
        self._end: asyncio.Event | None = None
        self._stopped = False
        client.settled = self._settled

    async def play(self) -> None:
        """Play it all."""
        loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        alarm = self._alarm = Alarm(loop, self._ring)
        workload = self.workload
        step = workload.batch if workload.think_s is None else 1
        self._due.extend(workload.arrivals_s[::step].tolist())
        try:
            self._zero_s = time.monotonic() + LEAD_S
            alarm.at(self._zero_s + self._due[0])
            while not self._end.is_set():
                self._sweep()
                try:
                    async with asyncio.timeout(SWEEP_S):
                        await self._end.wait()
                except TimeoutError:
                    continue
        finally:
            alarm.close()

    def stop(self) -> None:
        """Send no more, and wait for nothing; from the loop's thread."""
        self._stopped = True
        if self._end is not None:
            self._end.set()

    # ---- out

    def _ring(self) -> None:
        now_s = time.monotonic() - self._zero_s
        while self._due and self._due[0] <= now_s and not self._stopped:
            self._send(self._due.popleft())
            now_s = time.monotonic() - self._zero_s
        if self._due and not self._stopped:
            self._alarm.at(self._zero_s + self._due[0])

    def _send(self, due_s: float) -> None:
        workload, first = self.workload, self._sent
        count = min(workload.batch, workload.total - first)
        if count <= 0:
            return
        samples = workload.sample_of[first : first + count].tolist()
        payload = self._payload(tuple(samples))
        now_s = time.monotonic()
        for query, sample in enumerate(samples, first):
            label = self._labels[sample] if self._labels is not None else self._no_label
            self.recorder.sent(query, due_s, now_s - self._zero_s, label)
            self._open.add(query)
            if workload.slo_s < inf:
                self._waiting.append((due_s + workload.slo_s, query))
        self._sent += count
        self.client.send(Ask(payload, first, count, now_s))

    @property
    def _no_label(self) -> Any:
        return -1 if self.workload.task is None else self.workload.task.no_answer

    def _payload(self, samples: tuple[int, ...]) -> Any:
        payload = self._payloads.get(samples)
        if payload is None:
            payload = self.client.encoded(self.workload.questions.tensors(samples), self.workload.parameters)
            if self._cached < CACHED_BYTES:
                self._payloads[samples] = payload
                self._cached += len(payload)
        return payload

    # ---- in

    def _settled(self, ask: Ask, at_s: float, read: Callable[[], Reply] | LostError) -> None:
        at_s -= self._zero_s
        try:
            if isinstance(read, LostError):
                raise read
            reply = read()
            self._answered(ask, at_s, reply)
        except LostError as lost:
            for query in range(ask.first, ask.first + ask.count):
                self.troubles.note(lost.kind, "", None, lost.text)
                if query in self._open:
                    self.lost[lost.kind] += 1
                    self._close(query)
        if self.workload.think_s is not None and not self._stopped:
            now_s = time.monotonic() - self._zero_s
            # In order of time, for all think equally long.
            self._due.append(now_s + self.workload.think_s)
            self._ring()

    def _answered(self, ask: Ask, at_s: float, reply: Reply) -> None:
        workload = self.workload
        predictions = prediction_of(reply, ask.count, workload.output)
        answers: Any = [None] * ask.count
        if workload.task is not None:
            answers = self._answers(predictions)
        sources, instances = _sources(reply, ask.count), _instances(reply, ask.count)
        for place in range(ask.count):
            query = ask.first + place
            if query in self._open:
                self.recorder.answered(query, at_s, sources[place], instances[place], -1, answers[place])
                self._close(query)

    def _answers(self, predictions: NDArray[Any] | None) -> Any:
        assert self.workload.task is not None
        if predictions is None or predictions.ndim != 2 or predictions.shape[1] != self.workload.task.outputs:
            shape = "no numbers" if predictions is None else f"shape {list(predictions.shape)}"
            raise LostError(MALFORMED, f"an output of {shape}, where (n, {self.workload.task.outputs}) was expected")
        return self.workload.task.answer(torch.from_numpy(predictions.astype(np.float32))).tolist()

    def _sweep(self) -> None:
        now_s = time.monotonic()
        self.client.sweep(now_s)
        now_s -= self._zero_s
        while self._waiting and self._waiting[0][0] <= now_s:
            deadline_s, query = self._waiting.popleft()
            if query in self._open:
                default = self.workload.default
                self.recorder.answered(query, deadline_s, int(AnswerSource.DEFAULT), -1, -1, default)
                self._close(query)
        self.move(self._over)

    def _close(self, query: int) -> None:
        self._open.discard(query)
        self._over += 1
        if self._over == self.workload.total and self._end is not None:
            self._end.set()


def _sources(reply: Reply, count: int) -> list[int]:
    """Where answers came from, as a server of this package says; from anywhere else they are the model's own."""
    said = reply.parameters.get("source")
    found = [NUMBER_OF.get(one, OWN) for one in said.split(",")] if isinstance(said, str) else [OWN]
    return found * count if len(found) == 1 else found if len(found) == count else [OWN] * count


def _instances(reply: Reply, count: int) -> list[int]:
    said = reply.parameters.get("instance")
    try:
        found = [int(one) for one in str(said).split(",")] if said is not None else [-1]
    except ValueError:
        return [-1] * count
    return found * count if len(found) == 1 else found if len(found) == count else [-1] * count
