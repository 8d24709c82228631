"""Standard output and standard error that may be closed, broken or full, without an end to the work.

What is shown there is shown beside the work: a pipe whose reader has gone, a full disk behind it, or characters that
the terminal does not know are no reason to lose an hour of training.
"""

import errno
import io
import os
import sys
from typing import IO

STANDARD = {0: os.O_RDONLY, 1: os.O_WRONLY, 2: os.O_WRONLY}
"""File descriptors of every program, and how they are open."""


def secure() -> None:
    """Make this process go on whatever happens to its standard output and standard error."""
    for descriptor, mode in STANDARD.items():
        _open(descriptor, mode)
    sys.stdout, sys.stderr = _secured(sys.stdout, 1), _secured(sys.stderr, 2)


def _open(descriptor: int, mode: int) -> None:
    """Open a closed one to nowhere, so that no file that is opened later gets its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, mode)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _secured(stream: IO[str] | None, descriptor: int) -> io.TextIOWrapper:
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            _give_up(descriptor)
    raw = _Unbreakable(descriptor)
    watched = raw.isatty()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=watched or descriptor == 2 or getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


class _Unbreakable(io.FileIO):
    """Writes to a file descriptor, and to nowhere once that has failed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, content: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as error:
            _give_up(self.fileno())
            if error.errno != errno.EPIPE and self.fileno() == 1:
                print(f"standard output: {error.strerror}; what is still shown there is lost", file=sys.stderr)
            return len(content)


def _give_up(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
