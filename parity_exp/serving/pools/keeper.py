"""Starts and buries processes, in a thread of its own, so that nobody else waits for a fork or a funeral.

The processes come from multiprocessing's fork server, which imports torch once: after that a process is there in
milliseconds. Everything that touches a process object happens in the keeper's thread.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from typing import Any, Protocol, cast

from parity_exp.process import temporary_folder
from parity_exp.process.fresh import from_fork_server
from parity_exp.serving.pools.supervised import KILLED, NOT_KNOWN

GRACE_S = 0.3
"""How long a process may take to end when it is asked to; then it is killed."""

KILLED_S = 5.0
"""How long a killed process may take to be gone; the system needs that only when it is in trouble itself."""

UNKNOWN = 255
"""What multiprocessing says of a process whose parent, the fork server, is gone; the process may well be alive."""


class Closable(Protocol):
    """What holds a descriptor."""

    def close(self) -> None: ...


class Birth:
    """An order to start a process, and what became of it.

    Args:
        target: what the process runs.
        arguments: its arguments.
        name: its name.
        belongings: what the process has a copy of. Closed on this side once it has it, or cannot get it.

    Attributes:
        pid: the process, once it runs.
        exit: how it ended, for people; None while that is not known. If the fork server dies, nobody can tell any more,
            and this is set while the process may be alive: only the end of its channel is its end.
    """

    def __init__(
        self, target: Callable[..., object], arguments: tuple[Any, ...], name: str, belongings: Sequence[Closable]
    ) -> None:
        self.target = target
        self.arguments = arguments
        self.name = name
        self.belongings = belongings
        self.pid: int | None = None
        self.exit: str | None = None


class Keeper:
    """The thread that starts processes and takes note of their ends.

    Args:
        preload: modules that the fork server imports first.

    Attributes:
        news: becomes readable (an eventfd) when a process has ended, or could not be started.
    """

    def __init__(self, preload: Iterable[str]) -> None:
        self.news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        temporary_folder.own()
        self._context = from_fork_server()
        self._context.set_forkserver_preload(list(preload))
        self._orders: deque[Birth] = deque()
        self._living: dict[int, tuple[Birth, ForkServerProcess]] = {}
        self._orphans: list[int] = []
        self._starting = False
        self._closing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="keeper of instances", daemon=True)
        self._thread.start()

    def start(self, birth: Birth) -> None:
        """Start a process soon."""
        self._orders.append(birth)
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Start nothing more, end every process, and wait until they are gone; takes seconds at most.

        May come more than once.
        """
        if self._closed:
            return
        self._closing = True
        os.eventfd_write(self._bell, 1)
        for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, KILLED_S)):
            for birth, _ in tuple(self._living.values()):
                _signal(birth.pid, number)
                _signal(birth.pid, signal.SIGCONT)
            self._thread.join(patience_s)
            if not self._thread.is_alive():
                break
            if self._starting:
                # The fork server is still importing. It would outlive a frontend that ends.
                _end_fork_server()
        for orphan in self._orphans:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(orphan, signal.SIGKILL)
        deadline_s = time.monotonic() + KILLED_S
        while self._orphans:
            connection.wait(self._orphans[-1:], max(0.0, deadline_s - time.monotonic()))
            os.close(self._orphans.pop())
        if not self._thread.is_alive():
            self._closed = True
            os.close(self.news)
            os.close(self._bell)

    def _run(self) -> None:
        while not self._closing or self._living:
            for ready in connection.wait([self._bell, *self._living], timeout=1.0):
                if ready == self._bell:
                    os.eventfd_read(self._bell)
                else:
                    self._bury(cast(int, ready))
            while self._orders:
                self._bear(self._orders.popleft())
        while self._orders:
            self._bear(self._orders.popleft())

    def _bear(self, birth: Birth) -> None:
        process = self._context.Process(target=birth.target, args=birth.arguments, name=birth.name, daemon=True)
        try:
            if self._closing:
                return
            self._starting = True
            # The fork server inherits this, and its children from it: Ctrl-C is for the frontend alone. The start of
            # multiprocessing's resource tracker undoes it, so that comes first.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            except (ConnectionError, EOFError):
                # The fork server is ending, as it does when an order to it breaks off for want of descriptors, and
                # multiprocessing has not noticed yet.
                if self._closing:
                    raise
                _end_fork_server()
                process.start()
            birth.pid = process.pid
            self._living[process.sentinel] = (birth, process)
        except Exception as error:
            birth.exit = f"it could not be started ({type(error).__name__}: {error})"
        finally:
            self._starting = False
            # After what became of it is written down: who finds its channel closed reads that.
            for belonging in birth.belongings:
                belonging.close()
            birth.arguments = ()
        if birth.exit:
            os.eventfd_write(self.news, 1)

    def _bury(self, sentinel: int) -> None:
        birth, process = self._living.pop(sentinel)
        process.join(0)
        if process.exitcode == UNKNOWN and birth.pid is not None:
            with suppress(ProcessLookupError):
                self._orphans.append(os.pidfd_open(birth.pid))
        birth.exit = _how_it_ended(process.exitcode)
        process.close()
        os.eventfd_write(self.news, 1)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode == UNKNOWN:
        return NOT_KNOWN
    if exitcode == -signal.SIGKILL:
        return KILLED
    if exitcode is None or exitcode >= 0:
        return f"its process ended with exit status {exitcode}"
    number = -exitcode
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"its process was killed by {name}"


def _signal(pid: int | None, number: int) -> bool:
    """Send a signal; False where there is no such process any more."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _end_fork_server() -> None:
    server = getattr(forkserver, "_forkserver", None)
    pid = getattr(server, "_forkserver_pid", None)
    if pid is not None and _signal(pid, signal.SIGKILL):
        # Left for multiprocessing to reap, which looks for it before it starts the next one.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
