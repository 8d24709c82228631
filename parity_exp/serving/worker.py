"""What every instance does, whatever runs it: it loads its models, works at tasks, and takes the time it is told to."""

import gc
import math
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.serving.corruptor import Corruptor
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.timeline import Timeline
from parity_exp.serving.transport import one_line

WARM_UP_PASSES = 3


@dataclass(frozen=True)
class Assignment:
    """What an instance is to do.

    Attributes:
        index: its number.
        models: what it holds; tasks name a model by its place.
        device: where it holds them.
        core: the core that it keeps to; None for any.
        batch_size: queries in a task at most.
        service_time_s: least time of a task.
        timeline: what delays and faults to inject.
    """

    index: int
    models: tuple[ServedModel, ...]
    device: str
    core: int | None
    batch_size: int
    service_time_s: float
    timeline: Timeline


class Worker:
    """Loads the models and runs each a few times at its smallest and largest batch.

    Everything happens in the thread that made it, which from then on works in inference mode, on one thread.

    Args:
        assignment: what to do.
        contents: for each model what is in its checkpoint, where that cannot be read here; empty: it can.
    """

    def __init__(self, assignment: Assignment, contents: Sequence[bytes | memoryview | None] = ()) -> None:
        self._assignment = assignment
        self._device = torch.device(assignment.device)
        self._corruptor = Corruptor(assignment.index)
        torch.set_num_threads(1)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        read = contents or [None] * len(assignment.models)
        self._networks = [self._load(*pair) for pair in zip(assignment.models, read, strict=True)]
        # No collection of garbage shall look at all that is there for good: it would take longer than most tasks.
        gc.collect()
        gc.freeze()

    def work(self, model: int, queries: Tensor, started_s: float, zero_s: float) -> tuple[Tensor, bool]:
        """Do a task, and take as long as it has to take.

        Args:
            model: which of the models.
            queries: ``(n, *query_shape)`` on the CPU.
            started_s: when the task began, in this machine's ``time.monotonic()``.
            zero_s: when the timeline begins, likewise; NaN for not yet.

        Returns:
            ``(n, *output_shape)``, float32 on the CPU, and whether a fault of the timeline has spoilt them.
        """
        assignment = self._assignment
        outputs = self._run(self._networks[model], queries, assignment.models[model].output_shape)
        factor, extra_s, fault = 1.0, 0.0, None
        if not math.isnan(zero_s):
            factor, extra_s = assignment.timeline.at(started_s - zero_s)
            fault = assignment.timeline.fault(started_s - zero_s)
        if assignment.timeline.spoils:
            outputs = self._corruptor.outputs(model, outputs, fault)
        if assignment.service_time_s or factor != 1 or extra_s:
            spent_s = max(assignment.service_time_s, time.monotonic() - started_s)
            _sleep_until(started_s + spent_s * factor + extra_s)
        return outputs, fault is not None

    def end_if_device_is_lost(self) -> None:
        """After some errors a CUDA context fails whatever one asks of it: only a new process helps."""
        if self._device.type == "cuda":
            try:
                torch.cuda.synchronize(self._device)
            except RuntimeError:
                os._exit(1)

    def _load(self, served: ServedModel, content: bytes | memoryview | None) -> nn.Module:
        network = served.network(content).to(self._device).eval()
        with torch.inference_mode():
            for count in sorted({1, self._assignment.batch_size}):
                for _ in range(WARM_UP_PASSES):
                    self._run(network, torch.zeros(count, *served.query_shape), served.output_shape)
        return network

    def _run(self, network: nn.Module, queries: Tensor, output_shape: tuple[int, ...]) -> Tensor:
        """One pass; the result is on the CPU when this returns."""
        if self._device.type != "cpu":
            queries = queries.to(self._device)
        outputs = network(queries)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"the model gave a {type(outputs).__name__}, expected a tensor")
        expected = (len(queries), *output_shape)
        if outputs.shape != expected:
            raise ValueError(f"the model gave the shape {tuple(outputs.shape)}, expected {expected}")
        # The copy from a GPU waits for the pass to end, so that the time taken after it is the time of the pass.
        return outputs.to("cpu", torch.float32).contiguous()


def text_of(error: BaseException) -> str:
    """What an error says, in one line; with its kind in front, unless it was written for users."""
    if isinstance(error, UserError):
        return one_line(str(error))
    return one_line("".join(traceback.format_exception_only(error)))


def _sleep_until(deadline_s: float) -> None:
    while (left_s := deadline_s - time.monotonic()) > 0:
        time.sleep(left_s)
