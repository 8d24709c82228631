"""Training steps that are recorded once and then replayed as a whole, for devices on which starting an operation costs
more than the operation.

A step of a small network consists of some hundred operations of a few microseconds each, and Python takes longer to
start one than a GPU to finish it. A CUDA graph starts all of them at once. What is recorded repeats itself exactly:
the same operations on the same memory. So everything that differs from step to step lives in memory that the
operations read: the epoch's groups, the number of the batch, the learning rate.

* :class:`Recorder` runs and records; :class:`CudaRecorder` is the real one. Tests have one that needs no GPU.
* :class:`StepGraphs` drives the steps of an epoch. The first steps of each kind are run as usual, for libraries set
  themselves up in them; they count like any other.
* What moves parameters is :class:`parity_exp.training.device_optimizer.DeviceOptimizer`.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from parity_exp.data.groups import Steps
from parity_exp.training.device_optimizer import CannotRecordError, DeviceOptimizer

WARM_UPS = 3
"""Steps of a kind that are run before it is recorded; torch's notes on CUDA graphs recommend as many."""

Replay = Callable[[], None]


class Recorder(ABC):
    """Runs operations in a way that they can be recorded afterwards, and records them."""

    @abstractmethod
    def run(self, operations: Callable[[], None]) -> None:
        """Run them, as the recording will."""

    @abstractmethod
    def record(self, operations: Callable[[], None]) -> Replay:
        """Record them without running them.

        Raises:
            CannotRecordError: they wait for the device, or need what differs from run to run.
        """


class CudaRecorder(Recorder):
    """CUDA graphs (torch.cuda.graphs), all in one pool of memory, for they are never replayed side by side."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)
        self._pool: Any = None

    def run(self, operations: Callable[[], None]) -> None:
        # Gradients belong to the stream on which they were first computed, and recording cannot leave its own stream.
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            operations()
        torch.cuda.current_stream(self.device).wait_stream(self._stream)

    def record(self, operations: Callable[[], None]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads, such as a tracker's, may use the GPU meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                operations()
        except RuntimeError as error:
            raise CannotRecordError(_first_line(error)) from error
        self._pool = graph.pool()
        replay: Replay = graph.replay
        return replay


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class StepGraphs:
    """Takes training steps, each of them one or two replays.

    Args:
        recorder: runs and records.
        loss: the loss of a batch.
        optimizer: moves parameters.
        accumulate: batches whose gradients are added up for one step of the optimizer.
        device: where everything is.

    Attributes:
        accumulated: batches whose gradients wait for a step of the optimizer.
    """

    def __init__(
        self,
        recorder: Recorder,
        loss: Callable[[Any], Tensor],
        optimizer: DeviceOptimizer,
        accumulate: int,
        device: torch.device,
    ) -> None:
        self.accumulated = 0
        self._recorder = recorder
        self._loss = loss
        self._optimizer = optimizer
        self._accumulate = accumulate
        self._device = device
        # Gradients of one batch need not be added to anything: then all of a step is one recording.
        self._whole = accumulate == 1 and optimizer.recordable
        self._replays: dict[object, Replay] = {}
        self._seen: Counter[object] = Counter()
        self._full_batches: Tensor | None = None
        self._last_batch: Tensor | None = None
        self._given: dict[int, Any] = {}
        self._batch_number = torch.zeros(1, dtype=torch.int64, device=device)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._losses = 0

    def begin_epoch(self) -> None:
        """Forget the losses of the epoch before."""
        self._loss_sum.zero_()
        self._losses = 0
        self.accumulated = 0

    @property
    def losses(self) -> tuple[Tensor, int]:
        """Sum of the epoch's losses so far, a scalar in double precision, and how many there were."""
        return self._loss_sum, self._losses

    def take(self, steps: Steps) -> None:
        """Take training steps.

        Raises:
            CannotRecordError: a step cannot be recorded. ``steps`` is left with those that were not taken.
        """
        if steps.first == 0:
            self._batch_number.fill_(-1)
            if steps.batches.unchanging:
                self._place_index(steps)
        if not self._whole:
            self._optimizer.keep_gradients()
        first = steps.first
        try:
            self._optimizer.plan(first, self._updates(steps))
            while steps.first < steps.last:
                self._take_one(steps)
                steps.first += 1
        finally:
            self._optimizer.settle(steps.first - first)

    def _updates(self, steps: Steps) -> list[bool]:
        """For each batch, whether the optimizer takes a step after it."""
        waiting, updates = self.accumulated, []
        for batch in range(steps.first, steps.last):
            waiting += 1
            updates.append(waiting == self._accumulate or batch == len(steps.batches) - 1)
            waiting = 0 if updates[-1] else waiting
        return updates

    def _take_one(self, steps: Steps) -> None:
        batch = steps.first
        rows = len(steps.rows(batch))
        update = self.accumulated + 1 == self._accumulate or batch == len(steps.batches) - 1
        if not steps.batches.unchanging:
            self._place_batch(steps, rows)
        self._play(("batch", rows), lambda: self._learn(steps, rows))
        self._losses += 1
        self.accumulated = 0 if update else self.accumulated + 1
        if update and not self._whole:
            if self._optimizer.recordable:
                self._play("update", lambda: self._optimizer.step(self._batch_number))
            else:
                self._optimizer.step(self._batch_number)

    def _play(self, kind: object, operations: Callable[[], None]) -> None:
        replay = self._replays.get(kind)
        if replay is None and self._seen[kind] >= WARM_UPS:
            replay = self._replays[kind] = self._recorder.record(operations)
        if replay is None:
            self._seen[kind] += 1
            self._recorder.run(operations)
        else:
            replay()

    def _place_index(self, steps: Steps) -> None:
        """Put the epoch's index tensor where recorded operations read it: full batches by number, and the last one."""
        size = steps.batches.batch_size
        full = steps.batches.full
        batches, last = steps.index[: full * size].unflatten(0, (full, size)), steps.index[full * size :]
        if self._full_batches is None or self._last_batch is None:
            self._full_batches, self._last_batch = (part.to(self._device, copy=True) for part in (batches, last))
        else:
            self._full_batches.copy_(batches)
            self._last_batch.copy_(last)

    def _place_batch(self, steps: Steps, rows: int) -> None:
        """Make a batch that depends on its number, and put it where recorded operations read it."""
        made = steps.make(steps.first)
        place = self._given.get(rows)
        if place is None:
            self._given[rows] = pytree.tree_map(torch.clone, made)
            return
        for target, source in zip(pytree.tree_leaves(place), pytree.tree_leaves(made), strict=True):
            target.copy_(source)

    def _batch(self, steps: Steps, rows: int) -> Any:
        if not steps.batches.unchanging:
            return self._given[rows]
        assert self._full_batches is not None and self._last_batch is not None
        if rows != steps.batches.batch_size:
            return steps.batches.make(self._last_batch, 0, 0)
        return steps.batches.make(self._full_batches.index_select(0, self._batch_number)[0], 0, 0)

    def _learn(self, steps: Steps, rows: int) -> None:
        """What is recorded: a batch, its loss and gradients, and the optimizer's step where one follows each batch."""
        self._batch_number.add_(1)
        if self._whole:
            # The backward pass then leaves its results in place of gradients instead of adding to them.
            self._optimizer.forget_gradients()
        loss = self._loss(self._batch(steps, rows))
        self._loss_sum.add_(loss.detach())
        (loss / self._accumulate if self._accumulate > 1 else loss).backward()
        if self._whole:
            self._optimizer.step(self._batch_number)
