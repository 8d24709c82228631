"""Tests that measure time wait until no other worker runs a test, and the others then wait for them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Whose turn it is, among the processes that share a folder.

    Args:
        folder: where they find each other; two files are made in it.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "gate"
        self._machine = folder / "machine"

    @contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """Within the block nobody has a turn who wants to be alone; where ``alone``, nobody else has one at all."""
        with _locked(self._machine) as machine:
            # Who waits for the others to be done holds the gate, so that they do not begin again before it.
            with _locked(self._gate) as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A file to lock, which is free again after the block, also where a child process has it open by then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
