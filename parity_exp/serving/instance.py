"""What runs in an instance's process: it loads models, and runs them on tasks until the frontend is gone.

The fork server imports this module before it starts the first instance, so torch is there when a process begins.

Rules:

* One task at a time, in the order in which they came.
* The frontend ends instances; Ctrl-C, which reaches every process of a terminal, does not. An instance whose frontend
  is gone ends by itself.
* A second thread says every quarter of a second that the process is alive; it is what tells a long task from a
  process that has been stopped.
"""

import ctypes
import gc
import math
import os
import pickle
import signal
import socket
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import NoReturn

import torch
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.serving.corruptor import Corruptor
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.timeline import Timeline
from parity_exp.serving.transport import (
    ANSWER,
    FAILED,
    FINISHED,
    HEARTBEAT,
    INLINE,
    RAISED,
    READY,
    TASK,
    Parcel,
    Slots,
    one_line,
)

HEARTBEAT_S = 0.25
WARM_UP_PASSES = 3

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_TIMERSLACK = 1, 15, 29


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


def main(connection: socket.socket, slots: Slots | None, inline_bytes: int, parcel: Parcel) -> NoReturn:
    """Run an instance; ends the process.

    Args:
        connection: the instance's end of its channel.
        slots: shared memory for what does not fit in a message.
        inline_bytes: size of the numbers in a message at most.
        parcel: a pickled :class:`Assignment`. It is unpickled here, where a failure can be reported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.setblocking(True)
    _leave_fork_server()
    threading.Thread(target=_beat, args=(connection,), daemon=True).start()
    try:
        assignment: Assignment = pickle.loads(parcel.unpack())
        _tune_process(assignment)
        networks = _load(assignment)
    except BaseException as error:
        _send(connection, ANSWER.pack(FAILED, False, INLINE, 0, 0, 0.0, 0.0), _text(error).encode())
        os._exit(1)
    # No collection of garbage shall look at all that is there for good: it would take longer than most tasks.
    gc.collect()
    gc.freeze()
    _send(connection, ANSWER.pack(READY, False, INLINE, 0, 0, 0.0, 0.0))
    with torch.inference_mode():
        _serve(connection, slots, inline_bytes, assignment, networks)
    os._exit(0)


def _serve(
    connection: socket.socket, slots: Slots | None, inline_bytes: int, assignment: Assignment, networks: list[nn.Module]
) -> None:
    """Work on tasks until the frontend is gone."""
    device = torch.device(assignment.device)
    floor_s, timeline = assignment.service_time_s, assignment.timeline
    corruptor = Corruptor(assignment.index)
    # Memory of torch's own, so that the numbers in a message are aligned.
    room = torch.empty(TASK.size + inline_bytes, dtype=torch.uint8)
    numbers, message = room[TASK.size :].view(torch.float32), room.numpy().data
    while _receive(connection, message):
        started_s = time.monotonic()
        model, slot, count, task, zero_s = TASK.unpack_from(message)
        served = assignment.models[model]
        shape = (count, *served.query_shape)
        try:
            if slot == INLINE or slots is None:
                queries = numbers[: math.prod(shape)].view(shape)
            else:
                queries = slots.queries(slot, shape)
            outputs = _run(networks[model], queries, device, served.output_shape)
        except BaseException as error:
            header = ANSWER.pack(RAISED, False, slot, count, task, started_s, time.monotonic())
            _send(connection, header, _text(error).encode())
            _end_if_device_is_lost(device)
            continue
        factor, extra_s, fault = 1.0, 0.0, None
        if zero_s == zero_s:
            factor, extra_s = timeline.at(started_s - zero_s)
            fault = timeline.fault(started_s - zero_s)
        if timeline.spoils:
            outputs = corruptor.outputs(model, outputs, fault)
        if floor_s or factor != 1 or extra_s:
            _sleep_until(started_s + max(floor_s, time.monotonic() - started_s) * factor + extra_s)
        if slot == INLINE or slots is None:
            header = ANSWER.pack(FINISHED, fault is not None, slot, count, task, started_s, time.monotonic())
            _send(connection, header, outputs.numpy())
        else:
            slots.outputs(slot, outputs.shape).copy_(outputs)
            header = ANSWER.pack(FINISHED, fault is not None, slot, count, task, started_s, time.monotonic())
            _send(connection, header)


def _run(network: nn.Module, queries: Tensor, device: torch.device, output_shape: tuple[int, ...]) -> Tensor:
    """One pass, ``(n, *query_shape) -> (n, *output_shape)``; the result is on the CPU when this returns."""
    if device.type != "cpu":
        queries = queries.to(device)
    outputs = network(queries)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model gave a {type(outputs).__name__}, expected a tensor")
    expected = (len(queries), *output_shape)
    if outputs.shape != expected:
        raise ValueError(f"the model gave the shape {tuple(outputs.shape)}, expected {expected}")
    # The copy from a GPU waits for the pass to end, so that the time taken after it is the time of the pass.
    return outputs.to("cpu", torch.float32).contiguous()


def _load(assignment: Assignment) -> list[nn.Module]:
    """Load the models and run each a few times at its smallest and largest batch."""
    torch.set_num_threads(1)
    device = torch.device(assignment.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    networks = []
    for served in assignment.models:
        network = served.load().to(device).eval()
        with torch.inference_mode():
            for count in sorted({1, assignment.batch_size}):
                for _ in range(WARM_UP_PASSES):
                    _run(network, torch.zeros(count, *served.query_shape), device, served.output_shape)
        networks.append(network)
    return networks


def _sleep_until(deadline_s: float) -> None:
    while (left_s := deadline_s - time.monotonic()) > 0:
        time.sleep(left_s)


def _receive(connection: socket.socket, room: memoryview) -> int:
    """Wait for a message and return its size, 0 where the frontend is gone."""
    try:
        return connection.recv_into(room)
    except ConnectionResetError:
        return 0


def _send(connection: socket.socket, *parts: object) -> None:
    """Send a message; where nobody is left to read it, end."""
    try:
        connection.sendmsg(parts)  # type: ignore[arg-type]
    except OSError:
        os._exit(0)


def _beat(connection: socket.socket) -> None:
    message = ANSWER.pack(HEARTBEAT, False, INLINE, 0, os.getpid(), 0.0, 0.0)
    while True:
        try:
            connection.send(message, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # The frontend does not read at the moment; it finds enough to read when it does.
        except OSError:
            os._exit(0)
        time.sleep(HEARTBEAT_S)


def _text(error: BaseException) -> str:
    """What an error says, in one line; with its kind in front, unless it was written for users."""
    if isinstance(error, UserError):
        return one_line(str(error))
    return one_line("".join(traceback.format_exception_only(error)))


def _end_if_device_is_lost(device: torch.device) -> None:
    """After some errors a CUDA context fails whatever one asks of it: only a new process helps."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except RuntimeError:
            os._exit(1)


def _leave_fork_server() -> None:
    """Let the fork server end with the frontend, though it waits for all who hold this descriptor."""
    server = getattr(forkserver, "_forkserver", None)
    descriptor = getattr(server, "_forkserver_alive_fd", None)
    if isinstance(descriptor, int):
        os.close(descriptor)


def _tune_process(assignment: Assignment) -> None:
    """Exact sleeps, a name for ``ps``, and a core where one is given."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_TIMERSLACK, 1)
    prctl(_PR_SET_NAME, f"instance-{assignment.index}".encode())
    # The fork server ends with the frontend. An instance that is stopped at that moment goes on, and so can end.
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))
    if assignment.core is not None:
        os.sched_setaffinity(0, {assignment.core})
