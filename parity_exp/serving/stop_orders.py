"""Orders to stop at a task: they come to an instance beside its tasks, so that it hears of them while it works."""

import select
import socket
import struct
import time

ORDER = struct.Struct("<q")
"""Number of the task."""


class StopError(Exception):
    """A task is to be done no further."""


class StopOrders:
    """What an instance hears of tasks that nobody needs any more.

    It can listen before a task begins and while it waits: for the rest of ``service_time_ms``, and for injected delays.
    While a model computes it does not: a batch goes through in one pass, which nothing can break off.

    Args:
        channel: the instance's end; None: there are no orders.
    """

    def __init__(self, channel: socket.socket | None) -> None:
        self._channel = channel
        self._tasks: set[int] = set()
        if channel is not None:
            channel.setblocking(False)

    def check(self, task: int) -> None:
        """See whether a task is to be stopped at.

        Raises:
            StopError: it is.
        """
        if self._channel is None:
            return
        while self._hear():
            pass
        # Tasks come in the order of their numbers: older orders came too late.
        self._tasks = {number for number in self._tasks if number >= task}
        if task in self._tasks:
            raise StopError

    def sleep_until(self, deadline_s: float, task: int) -> None:
        """Sleep until a time of ``time.monotonic()``, unless an order comes.

        Raises:
            StopError: it has come.
        """
        while (left_s := deadline_s - time.monotonic()) > 0:
            if self._channel is None:
                time.sleep(left_s)
            elif select.select([self._channel], [], [], left_s)[0]:
                self.check(task)

    def _hear(self) -> bool:
        """Take one order; whether there was one."""
        if self._channel is None:
            return False
        try:
            message = self._channel.recv(ORDER.size)
        except BlockingIOError:
            return False
        except OSError:
            message = b""
        if len(message) < ORDER.size:  # nobody is left at the other end
            self._channel = None
            return False
        self._tasks.add(ORDER.unpack(message)[0])
        return True


def orders_channel() -> tuple[socket.socket, socket.socket]:
    """The frontend's end, which does not block, and the instance's."""
    frontend, instance = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    frontend.setblocking(False)
    return frontend, instance
