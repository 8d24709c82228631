"""Carries out what of a straggler trace takes real action while a run goes on: kills, and processes that compete.

Rows of kind ``slow`` are not its business: instances see to them themselves. Kills come from :meth:`Disturber.tick`, in
the caller's thread. Rows of every other kind get a process of their own for each instance, started before the run
begins and told once when it does; it keeps to its rows by itself, so the caller's thread has no part in it.
"""

import logging
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.devices.backends import named_backends
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.helpers.process import attend
from parity_exp.disturbances.timeline import FAULTS
from parity_exp.disturbances.trace import GONE, KILL, SLOW, Disturbance
from parity_exp.errors import UserError
from parity_exp.process import temporary_folder
from parity_exp.process.fresh import from_fork_server

log = logging.getLogger(__name__)

START_S = 60.0
CLOSE_S = 1.0
REAP_S = 0.5
LOOK_S = 1.0
"""How often :meth:`Disturber.tick` wants to look whether all processes are there."""


@dataclass
class _Companion:
    """A process beside an instance."""

    name: str
    process: ForkServerProcess
    pid: int
    pipe: Connection


class Disturber:
    """The hand that disturbs a run from outside.

    Calls come in this order: :meth:`start`, after the pool has started, whose fork server it shares; :meth:`begin`;
    any number of :meth:`tick`; :meth:`close`, which may come at any time and more than once.

    Args:
        rows: the trace; rows of instances that there are not are left out.
        devices: for each instance its device, ``cpu`` or a GPU such as ``cuda:0``.
        cores: for each instance the core that it is pinned to; None: to none. Its processes are pinned there too.
        kill: kills an instance.
        helpers: for each kind of row that takes a process, what the process does.
        seed: of what processes draw at random.

    Attributes:
        failures: what has gone wrong with processes since the run began, a line each.

    Raises:
        SettingError: a kind of row that nobody knows.
    """

    def __init__(
        self,
        rows: Iterable[Disturbance],
        devices: Sequence[str],
        cores: Sequence[int | None],
        kill: Callable[[int], None],
        helpers: Mapping[str, Helper],
        seed: int = 0,
    ) -> None:
        own = [row for row in rows if row.instance < len(devices) and row.kind not in (SLOW, *FAULTS)]
        unknown = {str(row.kind) for row in own} - {KILL, GONE, *helpers}
        if unknown:
            raise SettingError(f"{{/straggler}}: nothing is known to do for rows of kind {', '.join(sorted(unknown))}")
        # Who is not there from the beginning has nothing to lose.
        lost = (row for row in own if row.kind == KILL or (row.kind == GONE and row.start_s > 0))
        self._kills = sorted((row.start_s, row.instance) for row in lost)
        self._spans: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for row in own:
            if row.kind not in (KILL, GONE):
                self._spans[row.kind, row.instance].append((row.start_s, row.end_s))
        self._devices = devices
        self._cores = cores
        self._kill = kill
        self._helpers = helpers
        self._seed = seed
        self._companions: list[_Companion] = []
        self._killed = 0
        self._zero_s = math.inf
        self.failures: list[str] = []

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [companion.pid for companion in self._companions]

    def start(self, timeout_s: float = START_S) -> None:
        """Start the processes, and return when all are ready to work.

        Raises:
            UserError: one cannot work; with its own error text. None is left then.
        """
        try:
            for (kind, instance), spans in sorted(self._spans.items()):
                self._companions.append(self._companion(kind, instance, _merged(spans)))
            self._await_all(time.monotonic() + timeout_s)
        except BaseException:
            self.close()
            raise

    def begin(self, zero_s: float) -> None:
        """Say at which ``time.monotonic()`` the run begins."""
        self._zero_s = zero_s
        for companion in self._companions:
            # One that is gone is found by the first tick.
            with suppress(OSError):
                companion.pipe.send(zero_s)

    def tick(self, now_s: float) -> float:
        """Do what is due; never waits.

        Args:
            now_s: ``time.monotonic()``.

        Returns:
            When to call next, in the same time; infinity: there is nothing left to do.
        """
        if self._zero_s == math.inf:
            return math.inf
        while self._killed < len(self._kills) and self._zero_s + self._kills[self._killed][0] <= now_s:
            _, instance = self._kills[self._killed]
            self._killed += 1
            self._kill(instance)
        self._look_after()
        next_kill_s = self._zero_s + self._kills[self._killed][0] if self._killed < len(self._kills) else math.inf
        return min(next_kill_s, now_s + LOOK_S) if self._companions else next_kill_s

    def close(self) -> None:
        """End all processes; takes about a second at most."""
        for companion in self._companions:
            with suppress(OSError):
                companion.pipe.send(None)
        deadline_s = time.monotonic() + CLOSE_S
        while self._companions:
            ready = wait([companion.pipe for companion in self._companions], max(deadline_s - time.monotonic(), 0))
            if not ready:
                break
            for companion in list(self._companions):
                if companion.pipe in ready and _message(companion.pipe) is EOFError:
                    self._forget(companion, REAP_S)
        for companion in list(self._companions):
            # It holds its end of the pipe, so it lives, and the number is still its own.
            with suppress(ProcessLookupError):
                os.kill(companion.pid, signal.SIGKILL)
            self._forget(companion, REAP_S)

    def _companion(self, kind: str, instance: int, spans: list[tuple[float, float]]) -> _Companion:
        device = self._devices[instance]
        name = f"{kind} process beside instance {instance} on {device}"
        temporary_folder.own()
        context = from_fork_server()
        # Counts only where no fork server runs yet; the pool's has torch as well.
        context.set_forkserver_preload([attend.__module__])
        ours, theirs = context.Pipe()
        seed = int(np.random.default_rng([self._seed, instance]).integers(2**62))
        core = self._cores[instance]
        arguments = (theirs, self._helpers[kind], spans, device, core, seed, named_backends())
        process = context.Process(target=attend, args=arguments, name=name, daemon=True)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            # A fork server that is started here hands the mask on: Ctrl-C finds no process that does not ignore it.
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
        assert process.pid is not None
        return _Companion(name, process, process.pid, ours)

    def _await_all(self, deadline_s: float) -> None:
        waiting = list(self._companions)
        while waiting:
            ready = wait([companion.pipe for companion in waiting], max(deadline_s - time.monotonic(), 0))
            if not ready:
                raise UserError(f"straggler: the {waiting[0].name} is not ready in time")
            for companion in [companion for companion in waiting if companion.pipe in ready]:
                message = _message(companion.pipe)
                if message is not None:
                    raise UserError(f"straggler: the {companion.name} cannot start: {_reason(message)}")
                waiting.remove(companion)

    def _look_after(self) -> None:
        for companion in list(self._companions):
            if companion.pipe.poll(0):
                reason = _reason(_message(companion.pipe))
                self._note(f"the {companion.name} has failed: {reason}; the run goes on without it")
                self._forget(companion, 0)

    def _note(self, failure: str) -> None:
        self.failures.append(failure)
        log.error(failure)

    def _forget(self, companion: _Companion, wait_s: float) -> None:
        companion.process.join(wait_s)
        companion.pipe.close()
        self._companions.remove(companion)


def _message(pipe: Connection) -> object:
    """What the process says; ``EOFError`` where it has ended."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return EOFError


def _reason(message: object) -> str:
    return "it has ended without a word" if message is EOFError else str(message)


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same times as spans that do not touch, ascending."""
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged
