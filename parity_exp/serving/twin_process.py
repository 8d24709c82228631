"""The twin of a policy that is served: a process of its own plays the policy's past again."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.policy import Policy
from parity_exp.policies.replay import Replayed
from parity_exp.process.fresh import from_fork_server

CLOSE_S = 1.0

READY_S = 30.0
"""A process that is not there after so long plays nothing until it is."""

NICE = 10
"""Instances go first, where there are not enough cores."""


class TwinProcess:
    """Plays the past again while the frontend goes on; see :class:`~parity_exp.policies.replay.Replay`.

    The frontend never waits for it: what is asked while the process is not there yet, or has something to do, is not
    taken. A past and what has come of it are more than a pipe holds, and a process that goes last may be long in taking
    or giving them; so a thread talks to it. A process that has died plays nothing any more, and the policy stays as it
    is.
    """

    def __init__(self) -> None:
        context = from_fork_server()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=attend, args=(theirs,), name="twin", daemon=True)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # Ctrl-C finds no process that does not ignore it: a fork server that is started here hands the mask on.
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
        self._is_there = self._idle = False
        self._asked: SimpleQueue[tuple[Seen, dict[str, Policy]] | None] = SimpleQueue()
        self._said: dict[str, Replayed] | None = None
        self._thread: Thread | None = None  # of the process that asks, which may be forked from this one

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """Of this side's end of the pipe to it."""
        return self._pipe.fileno()

    def wait(self) -> None:
        """Wait until the process is there, before there is anything to serve: until then it keeps a core busy."""
        with suppress(EOFError, OSError):
            if self._pipe.poll(READY_S):
                self._hear_that_it_is_there()

    def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
        if self._thread is None:
            self._thread = Thread(target=self._talk, name="twin", daemon=True)
            self._thread.start()
        if not self._idle:
            return False
        self._idle = False
        self._asked.put((seen, dict(policies)))
        return True

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        said, self._said = self._said, None
        return said

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._asked.put(None)
        self._process.join(CLOSE_S)
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        self._pipe.close()

    def _hear_that_it_is_there(self) -> None:
        self._pipe.recv()
        self._is_there = self._idle = True

    def _talk(self) -> None:
        """Give the process what is asked, and take what it says, until it has died."""
        with suppress(EOFError, OSError):
            if not self._is_there:
                self._hear_that_it_is_there()
            while (asked := self._asked.get()) is not None:
                self._pipe.send(asked)
                self._said = self._pipe.recv()
                self._idle = True


def twin_of(policy: Policy) -> TwinProcess | None:
    """Give a policy that has its past played again what it needs, to be closed after the run; None for others."""
    if not policy.needs_replay:
        return None
    policy.replay = twin = TwinProcess()
    return twin


def attend(pipe: Connection) -> None:
    """The main function of the process: say that it is there, then answer what is asked until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    from parity_exp.simulation.twin import replay

    with suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            pipe.send(replay(*pipe.recv()))
