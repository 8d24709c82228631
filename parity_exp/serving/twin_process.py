"""The twin of a policy that is served: a process of its own plays the policy's past again."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.policy import Policy
from parity_exp.policies.replay import Replayed
from parity_exp.process.fresh import from_fork_server

CLOSE_S = 1.0

NICE = 10
"""Instances go first, where there are not enough cores."""


class TwinProcess:
    """Plays the past again while the frontend goes on; see :class:`~parity_exp.policies.replay.Replay`.

    The frontend never waits for it: what is asked while the process is not there yet, or has something to do, is not
    taken. A process that has died plays nothing any more, and the policy stays as it is.
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
        self._idle = False

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """Of this side's end of the pipe to it."""
        return self._pipe.fileno()

    def ask(self, seen: Seen, policies: Mapping[str, Policy], now_s: float) -> bool:
        if not self._idle:
            self._receive()  # it may have come to be there
        if not self._idle:
            return False
        try:
            self._pipe.send((seen, dict(policies)))
        except OSError:
            return False
        self._idle = False
        return True

    def answer(self, now_s: float) -> dict[str, Replayed] | None:
        return self._receive()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join(CLOSE_S)
        self._pipe.close()

    def _receive(self) -> dict[str, Replayed] | None:
        try:
            if self._pipe.poll():
                said: Any = self._pipe.recv()
                self._idle = True
                return said
        except (EOFError, OSError):
            self._idle = False  # it has died
        return None


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
