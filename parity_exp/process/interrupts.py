"""Ctrl-C: once it has come, nothing goes on, wherever it comes and whatever libraries make of it.

SIGTERM and SIGHUP, by which Slurm, Kubernetes and closed terminals end programs, are the same as Ctrl-C. This file
imports nothing that takes time, for a signal may come while the rest is imported.
"""

import _thread
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a command; Windows has no SIGHUP."""

STATUS = 130
"""Exit status of an interrupted command."""

AGAIN_S = 0.02
"""When an interruption comes again that a library has swallowed."""


Handler = Callable[[int, FrameType | None], Any]


class _Ear:
    """Hears the signals of one process.

    Attributes:
        listening: the process that listens; a fork of it has the same handlers, but is on its own.
        arrived: a signal has come.
        signals: those that are heard; others were ignored from the start.
    """

    listening: int | None = None
    arrived = False
    signals: tuple[int, ...] = ()


def arrived() -> bool:
    """Whether a signal has come since this process listens: whatever fails from then on is the interruption."""
    return _Ear.arrived and _Ear.listening == os.getpid()


def check() -> None:
    """Between two pieces of work: go no further where a signal has come and somebody has swallowed it.

    Raises:
        KeyboardInterrupt: a signal has come.
    """
    if arrived():
        raise KeyboardInterrupt


@contextmanager
def listening(to_the_end: bool = False) -> Iterator[None]:
    """Within the block each of the signals raises KeyboardInterrupt, and is remembered.

    Signals that are ignored from the start stay so, as ``nohup`` wants it. Outside the main thread nothing changes.

    Args:
        to_the_end: the process ends after the block. Signals that come until then do not disturb that, and are its
            exit status; a second one ends it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    if to_the_end:
        atexit.register(_end_by_signal, late)  # before all others, so that it comes after them
    before = _handle(_interrupt)
    _Ear.listening, _Ear.arrived, _Ear.signals = os.getpid(), False, tuple(before)
    unraisable = sys.unraisablehook
    sys.unraisablehook = _came_at_a_bad_place(unraisable)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, _noting(late) if to_the_end else handler)
        sys.unraisablehook = unraisable
        if _Ear.arrived:
            late.append(0)
        _Ear.listening = None


def _noting(late: list[int]) -> Handler:
    def note(number: int, frame: FrameType | None) -> None:
        if late:
            os._exit(STATUS)
        late.append(number)

    return note


def _end_by_signal(late: list[int]) -> None:
    # Also where main has returned the status itself: an interruption that has passed through exec() makes the
    # interpreter end by the signal instead.
    if late:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(STATUS)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Let the signals wait until the end of a block that takes seconds at most and must not be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # they never come here
        return
    came: list[int] = []
    before = _handle(lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in dict.fromkeys(came):
        signal.raise_signal(number)


def _handle(handler: Handler) -> dict[int, Any]:
    """Handle the signals that are not ignored; return what has handled them before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = {number: was for number, was in before.items() if was not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, handler)
    return heard


def _interrupt(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _Ear.listening:
        # A fork. Its parent ends it by the same signals and expects it to end without a word.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.raise_signal(number)
        return
    _Ear.arrived = True
    ctrl_c = signal.getsignal(signal.SIGINT)
    if number == signal.SIGINT or signal.SIGINT not in _Ear.signals or ctrl_c is _interrupt:
        raise KeyboardInterrupt
    if callable(ctrl_c):  # a library's way to end what it has started; it may also have chosen not to hear for a while
        ctrl_c(signal.SIGINT, frame)


def _came_at_a_bad_place(otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A hook for exceptions that the interpreter drops, as those in weakref callbacks: the interruption comes again."""

    def hook(dropped: Any) -> None:
        if arrived() and issubclass(dropped.exc_type, KeyboardInterrupt):
            # No object with a lock, for this code may run inside of one.
            _thread.start_new_thread(_come_again, ())
        else:
            otherwise(dropped)

    return hook


def _come_again() -> None:
    time.sleep(AGAIN_S)
    if arrived():
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, _Ear.signals[0])
