"""An alarm in an asyncio loop that goes off at its time, and not up to a millisecond late as loops' own timers do."""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

ABSOLUTE = 1
NANO = 1_000_000_000


class _Interval(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("again_s", "again_ns", "s", "ns")]


class Alarm:
    """Calls a function at a time; setting it anew forgets the time before.

    Args:
        loop: that runs in this thread.
        ring: what to call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._handle: asyncio.TimerHandle | None = None
        self._descriptor = -1
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            self._descriptor = self._library.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._rang)

    def at(self, time_s: float) -> None:
        """Set it, in ``time.monotonic()``."""
        if self._descriptor >= 0:
            seconds, nanoseconds = divmod(max(1, int(time_s * NANO)), NANO)
            setting = _Interval(0, 0, seconds, nanoseconds)
            self._library.timerfd_settime(self._descriptor, ABSOLUTE, ctypes.byref(setting), None)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0.0, time_s - time.monotonic()), self._ring)

    def close(self) -> None:
        """Forget it."""
        if self._handle is not None:
            self._handle.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _rang(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        self._ring()
