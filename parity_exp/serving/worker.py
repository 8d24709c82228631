"""What every instance does, whatever runs it: it loads its models, works at tasks, and takes the time it is told to."""

import gc
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parity_exp.devices.backends import load_backends, named_backends
from parity_exp.disturbances.corruptor import Corruptor
from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.recordings.error_text import one_line
from parity_exp.serving.passes import Acceleration, Hardware, Passes
from parity_exp.serving.passes.hardware import PlainHardware
from parity_exp.serving.passes.losses import loss
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.stop_orders import StopOrders

NO_ORDERS = StopOrders(None)


@dataclass(frozen=True)
class Assignment:
    """What an instance is to do.

    Attributes:
        index: its number.
        models: what it holds; tasks name a model by its place.
        names: theirs, for messages.
        identities: of each model what differs where the model does; a model that an instance has already is not loaded
            again.
        device: where it holds them.
        core: the core that it keeps to; None for any.
        batch_size: queries in a task at most.
        service_time_s: least time of a task.
        timeline: what delays and faults to inject.
        acceleration: how to run the models.
        crowded: there are more processes than cores, so none may keep a core while it waits for its device.
        backends: modules that bring devices.
    """

    index: int
    models: tuple[ServedModel, ...]
    names: tuple[str, ...]
    identities: tuple[str, ...]
    device: str
    core: int | None
    batch_size: int
    service_time_s: float
    timeline: Timeline
    acceleration: Acceleration
    crowded: bool
    backends: tuple[str, ...] = field(default_factory=named_backends)


class Worker:
    """Loads models, runs each a few times at every size of a batch, and then does tasks.

    Everything happens in the thread that made it, which from then on works on one thread.

    Args:
        assignment: what to do.
        contents: for each model what is in its checkpoint, where that cannot be read here; empty: it can.
        hardware: the device; None: the assignment's.

    Attributes:
        assignment: what it does at the moment.
    """

    def __init__(
        self,
        assignment: Assignment,
        contents: Sequence[bytes | memoryview | None] = (),
        hardware: Hardware | None = None,
    ) -> None:
        load_backends(assignment.backends)
        torch.set_num_threads(1)
        self._hardware = hardware or _hardware(assignment)
        self._hardware.prepare(assignment.acceleration)
        self._loaded: dict[tuple[str, int], Passes] = {}
        self.take(assignment, contents)

    def take(self, assignment: Assignment, contents: Sequence[bytes | memoryview | None] = ()) -> None:
        """Go over to an assignment on the same device; of what it has, models of the new one stay as they are."""
        self.assignment = assignment
        self._corruptor = Corruptor(assignment.index)
        wanted = [(identity, assignment.batch_size) for identity in assignment.identities]
        self._passes: list[Passes] = []
        self._loaded = {key: passes for key, passes in self._loaded.items() if key in wanted}
        read = contents or [None] * len(assignment.models)
        for key, name, model, content in zip(wanted, assignment.names, assignment.models, read, strict=True):
            if key not in self._loaded:
                self._loaded[key] = self._load(name, model, content)
            self._passes.append(self._loaded[key])
        # No collection of garbage shall look at all that is there for good: it would take longer than most tasks.
        gc.collect()
        gc.freeze()

    @property
    def notes(self) -> list[str]:
        """What users should know about how models run, a line each."""
        return [passes.note for passes in self._passes if passes.note is not None]

    def work(
        self,
        model: int,
        queries: Tensor,
        started_s: float,
        zero_s: float,
        out: Tensor | None = None,
        task: int = -1,
        orders: StopOrders | None = None,
    ) -> tuple[Tensor, bool]:
        """Do a task, and take as long as it has to take.

        Args:
            model: which of the models.
            queries: ``(n, *query_shape)`` on the CPU.
            started_s: when the task began, in this machine's ``time.monotonic()``.
            zero_s: when the timeline begins, likewise; NaN for not yet.
            out: where the outputs are to be in the end, ``(n, *output_shape)``, float32 on the CPU.
            task: number of the task.
            orders: may stop it; None: nothing does.

        Returns:
            ``(n, *output_shape)``, float32 on the CPU, good until the next task, and whether a fault of the timeline
            has spoilt them; ``out`` where that is given.

        Raises:
            StopError: an order has come to stop; before the model runs, or while there is nothing to do but wait.
        """
        orders = orders or NO_ORDERS
        orders.check(task)
        assignment = self.assignment
        outputs = self._passes[model](queries, out)
        factor, extra_s, fault = 1.0, 0.0, None
        if not math.isnan(zero_s):
            factor, extra_s = assignment.timeline.at(started_s - zero_s)
            fault = assignment.timeline.fault(started_s - zero_s)
        if assignment.timeline.spoils:
            outputs = self._corruptor.outputs(model, outputs, fault)
            if out is not None and outputs is not out:
                outputs = out.copy_(outputs)
        if assignment.service_time_s or factor != 1 or extra_s:
            spent_s = max(assignment.service_time_s, time.monotonic() - started_s)
            orders.sleep_until(started_s + spent_s * factor + extra_s, task)
        return outputs, fault is not None

    def room(self, size: int) -> Tensor:
        """So many bytes that the device reads queries from without blocking, as far as there are such."""
        return self._hardware.room((size,), torch.uint8)

    def pin(self, memory: Tensor) -> Callable[[], None]:
        """Let the device read and write memory without blocking, if that can be; returns what undoes it."""
        return self._hardware.pin(memory)

    def loss(self, error: BaseException) -> str | None:
        """Why the device is lost after an error, in one line; None where it is not.

        After such errors a device fails whatever one asks of it, or has no memory left: only a new process helps.
        """
        device = self.assignment.device
        reason = loss(error, device)
        if reason is None:
            try:
                self._hardware.wait()
            except Exception as failure:
                reason = loss(failure, device) or one_line(f"{device} is lost: {failure}")
        return reason

    def _load(self, name: str, model: ServedModel, content: bytes | memoryview | None) -> Passes:
        # An instance that goes over to another assignment works in inference mode, in which no network should be made.
        with torch.inference_mode(False):
            return Passes(
                name,
                model.network(content).eval(),
                model.query_shape,
                model.output_shape,
                self.assignment.batch_size,
                self._hardware,
                self.assignment.acceleration,
            )


def _hardware(assignment: Assignment) -> Hardware:
    device = torch.device(assignment.device)
    if device.type != "cuda":
        return PlainHardware(device)
    from parity_exp.serving.passes.cuda import CudaHardware

    return CudaHardware(device, assignment.crowded)


def text_of(error: BaseException) -> str:
    """What an error says, in one line; with its kind in front, unless it was written for users. Never raises."""
    try:
        if isinstance(error, UserError):
            return one_line(str(error))
        return one_line("".join(traceback.format_exception_only(error)))
    except Exception:  # what a user's exception does when it is asked for its text is not ours to know
        return one_line(type(error).__name__)
