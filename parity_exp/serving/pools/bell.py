"""A descriptor that threads make readable: for who waits for several things at a time."""

import os
from contextlib import suppress


class Bell:
    """An eventfd; it is there as long as anybody may ring it.

    Attributes:
        descriptor: readable from :meth:`ring` to :meth:`silence`.
    """

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """From any thread."""
        with suppress(BlockingIOError):
            os.eventfd_write(self.descriptor, 1)

    def silence(self) -> None:
        """Until it is rung again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def __del__(self) -> None:
        os.close(self.descriptor)
