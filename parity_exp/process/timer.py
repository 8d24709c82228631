"""A descriptor that becomes readable at a time, exactly: loops wait for descriptors, and count their own times in
milliseconds."""

import ctypes
import os
from contextlib import suppress

_CLOCK_MONOTONIC, _TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME = 1, os.O_NONBLOCK, os.O_CLOEXEC, 1
_SOON_NS = 1
"""A time of 0 would mean never."""


class Timer:
    """One time to wait for, on Linux.

    Attributes:
        descriptor: readable from the time that is set.
    """

    def __init__(self) -> None:
        self._kernel = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._kernel.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self.descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._times = (ctypes.c_long * 4)()  # interval and time, seconds and nanoseconds of each

    def set(self, at_s: float) -> None:
        """Be readable from then on, in ``time.monotonic()``, and no more from before."""
        seconds, rest_s = divmod(max(at_s, 0.0), 1.0)
        self._times[2], self._times[3] = int(seconds), int(rest_s * 1e9) or _SOON_NS
        self._kernel.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, self._times, None)

    def silence(self) -> None:
        """Until it is set again."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 8)

    def close(self) -> None:
        """Give the descriptor back; may come more than once."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
