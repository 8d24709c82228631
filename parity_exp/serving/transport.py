"""How tensors get from the frontend to an instance and back: messages over a socket, or memory that both see.

Each instance has a pair of Unix sockets of its own, of the kind that keeps messages whole (``SOCK_SEQPACKET``): a
message is sent entirely or not at all, so that a full buffer never leaves half of one behind. A message is a header
of fixed layout, and behind it raw float32 numbers; nothing is pickled. What is too large for a message goes through
memory that both processes have mapped, in numbered slots; the message then only says which slot.

Rules:

* The frontend's end never blocks: a send that finds the buffer full is refused, and the caller keeps the task.
* The end of a process, however it ends, is the end of its socket. What it had sent before is still there to read.
* A slot belongs to one task from when it is sent until its answer has been read.
"""

import mmap
import os
import socket
import struct
from collections.abc import Sequence
from math import prod
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor

TASK = struct.Struct("<HhIqd40x")
"""Frontend to instance: number of the model, slot or -1, queries, task, zero of the timeline in seconds or NaN.

Padded to 64 bytes, so that the numbers behind it are aligned as torch aligns its own.
"""

ANSWER = struct.Struct("<B?hIqdd")
"""Instance to frontend: kind, corrupted, slot or -1, queries, task (heartbeat: process id), started_s, finished_s.

Behind it: float32 numbers where the kind is FINISHED and there is no slot; UTF-8 text where it is RAISED or FAILED,
and where it is READY, what users should know, a line each.
"""

HEARTBEAT, READY, FAILED, FINISHED, RAISED, STOPPED = range(6)

ASSIGNMENT = 2**16 - 1
"""In the place of a model: not a task, but another assignment, whose descriptors come with the next message."""

_LAYOUT = struct.Struct("<QQQ")
INLINE = -1
"""In the place of a slot: the numbers are in the message itself."""

SEND_BUFFER_BYTES = 4 * 2**20
"""Size of socket buffers to ask for; the system grants ``net.core.wmem_max``, doubled, at most."""

_KERNEL_RESERVE_BYTES = 64
_ALIGNMENT_BYTES = 4096


def channel() -> tuple[socket.socket, socket.socket, int]:
    """A connected pair of sockets.

    Returns:
        The frontend's end, which does not block; the instance's end, which does; and the bytes of numbers that fit
        in one message with these buffers.
    """
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    granted = []
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        granted.append(end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
    frontend, instance = ends
    frontend.setblocking(False)
    return frontend, instance, min(granted) - _KERNEL_RESERVE_BYTES - max(TASK.size, ANSWER.size)


class Parcel:
    """Bytes for processes that are being started, as an argument of theirs.

    They go through memory. Multiprocessing writes arguments into a pipe, and more than 64 kB of them would make the
    writer wait for a process that may never read.
    """

    def __init__(self, content: bytes) -> None:
        self._descriptor = os.memfd_create("parity_exp")
        with os.fdopen(os.dup(self._descriptor), "wb") as stream:
            stream.write(content)

    @classmethod
    def of(cls, descriptor: int) -> "Parcel":
        """The parcel that is in a file."""
        parcel = cls.__new__(cls)
        parcel._descriptor = descriptor
        return parcel

    @property
    def descriptor(self) -> int:
        """The file that it is in."""
        return self._descriptor

    def unpack(self) -> bytes:
        """The bytes."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._descriptor)

    def __setstate__(self, state: Any) -> None:
        self._descriptor = state.detach()


class Slots:
    """Memory that frontend and instance share, one slot a task that an instance may hold.

    Can be sent to a process that is being started, as an argument of it.

    Args:
        count: slots.
        queries: float32 numbers of a task's queries at most.
        outputs: float32 numbers of a task's outputs at most.

    Attributes:
        layout: these three.
        memory: all of it, as bytes.
    """

    def __init__(self, count: int, queries: int, outputs: int) -> None:
        self.layout = (count, queries, outputs)
        self._descriptor = os.memfd_create("parity_exp")
        os.ftruncate(self._descriptor, count * sum(_region_bytes(numbers) for numbers in (queries, outputs)))
        self._map()

    @classmethod
    def of(cls, layout: tuple[int, int, int], descriptor: int) -> "Slots":
        """The slots that are in a file, which is closed."""
        slots = cls.__new__(cls)
        slots.layout = layout
        slots._descriptor = descriptor
        slots._map()
        slots.close()
        return slots

    @property
    def descriptor(self) -> int:
        """The file that they are in, for others; -1 where it has been given back."""
        return self._descriptor

    def holds(self, count: int, queries: int, outputs: int) -> bool:
        """Whether there are exactly so many slots, for tasks of these sizes at most."""
        return self.layout[0] == count and self.layout[1] >= queries and self.layout[2] >= outputs

    def _map(self) -> None:
        count, queries, outputs = self.layout
        # The mapping lives as long as the tensors over it, which is longer than the descriptor is needed.
        memory = mmap.mmap(self._descriptor, 0)
        self.memory = torch.frombuffer(memory, dtype=torch.uint8)
        regions: list[Tensor] = []
        offset = 0
        for _ in range(count):
            for numbers in (queries, outputs):
                regions.append(torch.frombuffer(memory, dtype=torch.float32, count=numbers, offset=offset))
                offset += _region_bytes(numbers)
        self._queries, self._outputs = regions[::2], regions[1::2]

    def queries(self, slot: int, shape: Sequence[int]) -> Tensor:
        """The place for a task's queries, in the given shape."""
        return self._queries[slot][: prod(shape)].view(*shape)

    def outputs(self, slot: int, shape: Sequence[int]) -> Tensor:
        """The place for a task's outputs, in the given shape."""
        return self._outputs[slot][: prod(shape)].view(*shape)

    def close(self) -> None:
        """Give the descriptor back; the memory goes with the last tensor over it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"layout": self.layout, "descriptor": reduction.DupFd(self._descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= vars(Slots.of(state["layout"], state["descriptor"].detach()))


def send_assignment(channel: socket.socket, parcel: Parcel, slots: Slots | None) -> None:
    """Give an instance that runs another assignment, and other slots where it needs them.

    Two messages: the first, in the form of a task, says what the second brings, which could not be read as one.

    Raises:
        OSError: its buffer is full, or it has ended.
    """
    channel.send(TASK.pack(ASSIGNMENT, INLINE, 0, 0, 0.0))
    layout, descriptors = (0, 0, 0), [parcel.descriptor]
    if slots is not None:
        layout = slots.layout
        descriptors.append(slots.descriptor)
    socket.send_fds(channel, [_LAYOUT.pack(*layout)], descriptors)


def receive_assignment(connection: socket.socket) -> tuple[bytes, Slots | None]:
    """What :func:`send_assignment` sends second: the parcel's content, and slots where there are new ones.

    Raises:
        EOFError: the frontend is gone.
    """
    message, descriptors, _, _ = socket.recv_fds(connection, _LAYOUT.size, 2)
    if not message:
        raise EOFError
    parcel = Parcel.of(descriptors[0])
    content = parcel.unpack()
    parcel.close()
    return content, Slots.of(_LAYOUT.unpack(message), descriptors[1]) if len(descriptors) > 1 else None


def _region_bytes(numbers: int) -> int:
    return -(-4 * numbers // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
