"""What a process or thread tells the Linux kernel of itself."""

import ctypes
import signal

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_TIMERSLACK = 1, 15, 29


def sleep_exactly() -> None:
    """Let sleeps of this thread end when they are to, and not somewhat later, as the kernel does by itself."""
    _prctl(_PR_SET_TIMERSLACK, 1)


def call_process(name: str) -> None:
    """Give this process a name for ``ps``, of which the kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, name.encode())


def hear_of_parents_end(by: signal.Signals) -> None:
    """Be sent a signal when the process that started this one ends."""
    _prctl(_PR_SET_PDEATHSIG, int(by))


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)
