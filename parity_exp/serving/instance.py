"""What runs in an instance's process: it loads models, and runs them on tasks until the frontend is gone.

The fork server imports this module before it starts the first instance, so torch is there when a process begins.

Rules:

* One task at a time, in the order in which they came.
* The frontend ends instances; Ctrl-C, which reaches every process of a terminal, does not. An instance whose frontend
  is gone ends by itself.
* A second thread says every quarter of a second that the process is alive; it is what tells a long task from a
  process that has been stopped.
"""

import math
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from multiprocessing import forkserver
from typing import NoReturn

import torch

from parity_exp.process.kernel import call_process, hear_of_parents_end, sleep_exactly
from parity_exp.recordings.error_text import MAX_TEXT
from parity_exp.serving.passes.losses import loss
from parity_exp.serving.stop_orders import StopError, StopOrders
from parity_exp.serving.transport import (
    ANSWER,
    ASSIGNMENT,
    FAILED,
    FINISHED,
    HEARTBEAT,
    INLINE,
    RAISED,
    READY,
    STOPPED,
    TASK,
    Parcel,
    Slots,
    receive_assignment,
)
from parity_exp.serving.worker import Assignment, Worker, text_of

HEARTBEAT_S = 0.25


def main(
    connection: socket.socket,
    slots: Slots | None,
    inline_bytes: int,
    parcel: Parcel,
    orders: socket.socket | None = None,
) -> NoReturn:
    """Run an instance; ends the process.

    Args:
        connection: the instance's end of its channel.
        slots: shared memory for what does not fit in a message.
        inline_bytes: size of the numbers in a message at most.
        parcel: a pickled :class:`Assignment`. It is unpickled here, where a failure can be reported.
        orders: where orders to stop at tasks come from; None: there are none.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.setblocking(True)
    _leave_fork_server()
    # Locks that libraries make from now on are nobody's to remove when this process is killed.
    multiprocessing.set_start_method("fork", force=True)
    threading.Thread(target=_beat, args=(connection,), daemon=True).start()
    assignment: Assignment | None = None
    try:
        assignment = pickle.loads(parcel.unpack())
        assert assignment is not None
        _tune_process(assignment)
        worker = Worker(assignment)
    except BaseException as error:
        _fail(connection, (assignment and loss(error, assignment.device)) or text_of(error))
    _say_ready(connection, worker)
    try:
        with torch.inference_mode():
            _serve(connection, slots, inline_bytes, worker, StopOrders(orders))
    except BaseException as error:
        _fail(connection, worker.loss(error) or text_of(error))
    os._exit(0)


def _serve(
    connection: socket.socket, slots: Slots | None, inline_bytes: int, worker: Worker, orders: StopOrders
) -> None:
    """Work on tasks until the frontend is gone."""
    # Memory of torch's own, so that the numbers in a message are aligned.
    room = worker.room(TASK.size + inline_bytes)
    numbers, message = room[TASK.size :].view(torch.float32), room.numpy().data
    unpin = worker.pin(slots.memory) if slots is not None else None
    models = worker.assignment.models
    while _receive(connection, message):
        started_s = time.monotonic()
        model, slot, count, task, zero_s = TASK.unpack_from(message)
        if model == ASSIGNMENT:
            more = _go_over(connection, worker)
            models = worker.assignment.models
            if more is not None:
                if unpin is not None:
                    unpin()
                slots, unpin = more, worker.pin(more.memory)
            _say_ready(connection, worker)
            continue
        served = models[model]
        shape = (count, *served.query_shape)
        out = None
        try:
            if slot == INLINE or slots is None:
                queries = numbers[: math.prod(shape)].view(shape)
            else:
                queries = slots.queries(slot, shape)
                out = slots.outputs(slot, (count, *served.output_shape))
            outputs, corrupted = worker.work(model, queries, started_s, zero_s, out, task, orders)
        except StopError:
            _send(connection, ANSWER.pack(STOPPED, False, slot, count, task, started_s, time.monotonic()))
            continue
        except BaseException as error:
            lost = worker.loss(error)
            if lost is not None:
                _fail(connection, lost)
            header = ANSWER.pack(RAISED, False, slot, count, task, started_s, time.monotonic())
            _send(connection, header, text_of(error).encode())
            continue
        header = ANSWER.pack(FINISHED, corrupted, slot, count, task, started_s, time.monotonic())
        if out is None:
            _send(connection, header, outputs.numpy())
        else:
            _send(connection, header)


def _go_over(connection: socket.socket, worker: Worker) -> Slots | None:
    """Take another assignment; returns the slots that come with it, if some do."""
    try:
        content, slots = receive_assignment(connection)
        assignment: Assignment = pickle.loads(content)
        worker.take(assignment)
    except (EOFError, ConnectionResetError):
        os._exit(0)
    except BaseException as error:
        _fail(connection, worker.loss(error) or text_of(error))
    return slots


def _say_ready(connection: socket.socket, worker: Worker) -> None:
    notes = "\n".join(worker.notes)[:MAX_TEXT]
    _send(connection, ANSWER.pack(READY, False, INLINE, 0, 0, 0.0, 0.0), notes.encode())


def _fail(connection: socket.socket, reason: str) -> NoReturn:
    """Say why the process is of no more use, and end it."""
    _send(connection, ANSWER.pack(FAILED, False, INLINE, 0, 0, 0.0, 0.0), reason.encode())
    os._exit(1)


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


def _leave_fork_server() -> None:
    """Let the fork server end with the frontend, though it waits for all who hold this descriptor."""
    server = getattr(forkserver, "_forkserver", None)
    descriptor = getattr(server, "_forkserver_alive_fd", None)
    if isinstance(descriptor, int):
        os.close(descriptor)


def _tune_process(assignment: Assignment) -> None:
    """Exact sleeps, a name for ``ps``, and a core where one is given."""
    sleep_exactly()
    call_process(f"instance-{assignment.index}")
    # The fork server ends with the frontend. An instance that is stopped at that moment goes on, and so can end.
    hear_of_parents_end(signal.SIGCONT)
    if assignment.core is not None:
        os.sched_setaffinity(0, {assignment.core})
