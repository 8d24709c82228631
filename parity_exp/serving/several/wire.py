"""How a frontend's process and the relay talk: messages of a fixed form, and memory that both see.

Each frontend has a pair of Unix sockets of the kind that keeps messages whole (``SOCK_SEQPACKET``), as instances have
theirs. Queries and outputs never go through it: they lie in numbered slots of shared memory, and a slot belongs to one
task from when it is sent until its answer has been read. What a frontend hands in at the end goes in pieces.
"""

import socket
import struct

MESSAGE = struct.Struct("<BBHIIqqdd")
"""Kind, a flag, number of the model, instance, slot or queries, task or query, a count, and two times in seconds."""

TEXT_BYTES = 4096
"""Of a text behind a message at most."""

PIECE_BYTES = 2**16
"""Of a piece of what is handed in."""

SEND, INTERRUPT, READY, ALIVE, ANSWERED, STUCK, PIECE, HANDED_IN, FAILED = range(9)
"""From a frontend. SEND: a task, with the life of its instance as the count, and how many queries as the first time;
READY; ALIVE and ANSWERED: how many queries it has answered, and when; STUCK: how many it has been told of, and can do
nothing more for; PIECE, HANDED_IN, FAILED: of what it hands in, or of the error that it ends with, a piece or the last.
"""

GO, ASKED, FINISHED, RAISED, STOPPED, DOWN, UP, GIVE_UP, END = range(9)
"""To a frontend. GO: the run begins; ASKED: a query is due; FINISHED (the flag: corrupted), RAISED, STOPPED, DOWN (the
flag: for good; the count: which life is next) and UP: what becomes of tasks and instances; GIVE_UP: nobody asks any
more before somebody is answered; END: hand in what there is."""

BUFFER_BYTES = 1 << 20


def sockets() -> tuple[socket.socket, socket.socket]:
    """The relay's end, and the frontend's; neither blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        end.setblocking(False)
    return ends


def message(
    kind: int,
    flag: int = 0,
    model: int = 0,
    instance: int = 0,
    slot: int = 0,
    number: int = 0,
    count: int = 0,
    first_s: float = 0.0,
    last_s: float = 0.0,
    text: bytes = b"",
) -> bytes:
    """A message, with a text behind it."""
    return MESSAGE.pack(kind, flag, model, instance, slot, number, count, first_s, last_s) + text
