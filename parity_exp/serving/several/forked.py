"""Starts the process of a frontend as a fork: what it serves need not be sent to it, nor be such that it could be.

A fork has a copy of everything, and nearly nothing of that is its own. It keeps its channel and files, and lets go of
all other sockets and pipes, so that whoever waits for their end does not wait for it.
"""

import multiprocessing
import os
import signal
import stat
import warnings
from collections.abc import Callable, Collection
from multiprocessing.context import ForkProcess
from pathlib import Path

from parity_exp.process.kernel import call_process, hear_of_parents_end, sleep_exactly

STREAMS = 3
"""Descriptors below are standard input, output and errors."""


def fork(run: Callable[[], object], name: str, kept: Collection[int]) -> ForkProcess:
    """Run a function in a fork of this process, which ends with it.

    Ctrl-C is for the parent to hear, which ends its forks.

    Args:
        run: to be run there; what it raises is lost.
        name: of the process.
        kept: descriptors of sockets and pipes that it keeps.
    """
    parent = os.getpid()
    process = multiprocessing.get_context("fork").Process(
        target=_main, args=(run, name, frozenset(kept), parent), name=name, daemon=True
    )
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
    try:
        with warnings.catch_warnings():
            # Python warns of forks where threads run, which may hold locks for ever. A frontend's thread takes none of
            # theirs: it has its channel, and computes.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return process


def _main(run: Callable[[], object], name: str, kept: Collection[int], parent: int) -> None:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
        sleep_exactly()
        call_process(name)
        hear_of_parents_end(signal.SIGKILL)
        if os.getppid() != parent:
            return  # it has died before it could be heard
        _let_go(kept)
        run()
    finally:
        os._exit(0)  # what the parent wanted to do at its end is the parent's to do


def _let_go(kept: Collection[int]) -> None:
    """Put nothing in the place of sockets, pipes and the like that are not kept.

    Their numbers stay taken, for objects that know nothing of this may close them yet.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(entry.name)
        if descriptor < STREAMS or descriptor == nothing or descriptor in kept:
            continue
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            continue  # that of the listing itself
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISDIR(mode)):
            os.dup2(nothing, descriptor, inheritable=False)
