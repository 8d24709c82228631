"""Instances as processes of this machine.

The frontend and each instance talk over a channel (:mod:`parity_exp.serving.transport`); a keeper
(:mod:`parity_exp.serving.pools.keeper`) starts and buries processes. What this file adds is what happens to an
instance: it starts, is ready, ends, rests, and starts again, or is given up.

Rules:

* An instance has one *life* at a time: a process with its channel, its memory and its tasks. Nothing passes from one
  life to the next, so nothing of a dead process can reach a living one.
* The end of a channel is the end of a life. What it sent before is read first; then comes ``Down``.
* A process that says nothing for too long, or works at one task for too long, is killed, and so its channel ends.
  Only time in which the frontend listens counts: an answer that the frontend did not fetch is not late.
* Nothing blocks but :meth:`LocalPool.poll`, for as long as it may, and :meth:`LocalPool.start`.
"""

import atexit
import logging
import os
import pickle
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from parity_exp.errors import ConfigError, UserError
from parity_exp.serving import instance as instance_process
from parity_exp.serving.instance import Assignment
from parity_exp.serving.pool import Down, Event, Finished, ModelLoader, Pool, Raised, ServedModel, Up
from parity_exp.serving.pools.devices import place
from parity_exp.serving.pools.keeper import KILLED, NOT_KNOWN, Birth, Keeper
from parity_exp.serving.pools.restarts import LONGEST_DELAY_S, Restarts
from parity_exp.serving.timeline import Timeline
from parity_exp.serving.transport import (
    ANSWER,
    FAILED,
    FINISHED,
    INLINE,
    MAX_TEXT,
    RAISED,
    READY,
    TASK,
    Parcel,
    Slots,
    channel,
    one_line,
)

log = logging.getLogger(__name__)

CHECK_S = 0.1
"""How often lives are looked at for what does not come as a message."""

AWAY_S = 0.1
"""Time between two polls, or lost within one, from which on the frontend was not listening."""

PRELOAD = "parity_exp.serving.pools.preload"
"""What the fork server imports."""

EXIT_STATUS_S = 0.05
"""How long to wait, after a channel has ended, for the fork server to say how the process did."""

KILLED_S = 1.0
"""How long to wait for the channel of a killed process to end."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A model that an instance holds, as tasks need it."""

    number: int
    query_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    largest_bytes: int


@dataclass(slots=True, eq=False)
class _Life:
    """One process of an instance, from the order to start it to its end; its times count only while we listen."""

    channel: socket.socket
    slots: Slots | None
    free_slots: list[int]
    inline_bytes: int
    birth: Birth
    held: dict[str, _Held]
    began_s: float
    heard_s: float
    tasks: deque[tuple[int, _Held, int, int]] = field(default_factory=deque)
    task_since_s: float = 0.0
    ready: bool = False
    worked: bool = False
    reason: str | None = None
    on_demand: bool = False
    ended: bool = False
    patience_s: float = float("inf")


@dataclass(slots=True, eq=False)
class _Instance:
    """A place in the pool, with the life that fills it; None while it rests, or when it is given up."""

    index: int
    device: str
    core: int | None
    held: dict[str, _Held]
    assignment: Parcel
    restarts: Restarts
    life: _Life | None = None
    restart_s: float = float("inf")


class LocalPool(Pool):
    """Instances as processes of this machine, started by a fork server that has imported torch.

    Args:
        devices: ``auto`` (all visible GPUs in turn, the CPU where there is none), ``cpu``, or a list of devices.
        pin_cores: keep each instance on one core, in turn.
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        service_time_ms: a task takes at least that long: the instance sleeps for the rest, and so a small model
            behaves like a large one. 0 for none.
        shared_memory_kb: queries and outputs of a task that are larger go through shared memory.
        start_timeout_s: until an instance has to be ready.
        hang_timeout_s: an instance without a sign of life for so long is killed. It gives one every 0.25 s.
        task_timeout_s: an instance that works at one task for so long is killed; injected delays count.
        max_failures: deaths in a row, each before a task was finished, after which an instance is given up.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        devices: str | Sequence[str] = "auto",
        pin_cores: bool = False,
        prefetch: int = 1,
        service_time_ms: float = 0.0,
        shared_memory_kb: float = 256,
        start_timeout_s: float = 60.0,
        hang_timeout_s: float = 2.0,
        task_timeout_s: float = 30.0,
        max_failures: int = 5,
    ) -> None:
        _require("prefetch", prefetch, 1)
        _require("service_time_ms", service_time_ms, 0)
        _require("shared_memory_kb", shared_memory_kb, 0)
        _require("start_timeout_s", start_timeout_s, 0.001)
        _require("hang_timeout_s", hang_timeout_s, 2 * instance_process.HEARTBEAT_S)
        _require("task_timeout_s", task_timeout_s, 0.001)
        _require("max_failures", max_failures, 1)
        self.devices = devices
        self.pin_cores = pin_cores
        self.prefetch = prefetch
        self.service_time_ms = service_time_ms
        self.shared_memory_kb = shared_memory_kb
        self.start_timeout_s = start_timeout_s
        self.hang_timeout_s = hang_timeout_s
        self.task_timeout_s = task_timeout_s
        self.max_failures = max_failures

        self._batch_size = 1
        self._instances: list[_Instance] = []
        # What send() looks at: the life of each instance that takes tasks.
        self._open: list[_Life | None] = []
        self._by_descriptor: dict[int, _Instance] = {}
        self._events: list[Event] = []
        self._buffer = bytearray()
        self._keeper: Keeper | None = None
        self._epoll: select.epoll | None = None
        self._starting = False
        self._zero_s = float("nan")
        self._check_s = 0.0
        self._left_s = 0.0
        self._away_s = 0.0

    @property
    def pids(self) -> list[int | None]:
        """The process of each instance; None where there is none at the moment."""
        return [spot.life.birth.pid if spot.life else None for spot in self._instances]

    # -- start and end ------------------------------------------------------------------------------------------------

    def check(self, instances: int) -> None:
        place(self.devices, instances)

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        if not hasattr(os, "memfd_create") or not hasattr(os, "eventfd"):
            raise UserError(f"pool=local: needs Linux, this is {sys.platform}")
        if self._keeper is not None:
            raise RuntimeError("a pool can be started once")
        devices = place(self.devices, len(held))
        for name, served in models.items():
            _check_pickles(name, served.load)
        self._batch_size = batch_size
        cores = sorted(os.sched_getaffinity(0))
        for index, names in enumerate(held):
            core = cores[index % len(cores)] if self.pin_cores else None
            assignment = Assignment(
                index=index,
                models=tuple(models[name] for name in names),
                device=devices[index],
                core=core,
                batch_size=batch_size,
                service_time_s=self.service_time_ms / 1e3,
                timeline=timelines[index],
            )
            numbered = {name: _held(number, models[name]) for number, name in enumerate(names)}
            parcel = Parcel(pickle.dumps(assignment))
            restarts = Restarts(self.max_failures)
            self._instances.append(_Instance(index, devices[index], core, numbered, parcel, restarts))
        self._open = [None] * len(held)
        # For who forgets to close; and before multiprocessing ends the processes in its own way.
        atexit.register(self.close)
        try:
            self._start_all(models)
        except BaseException:
            self.close()
            raise

    def _start_all(self, models: dict[str, ServedModel]) -> None:
        self._epoll = select.epoll()
        self._keeper = Keeper([*_modules(served.load for served in models.values()), PRELOAD])
        self._epoll.register(self._keeper.news, select.EPOLLIN)
        self._starting = True
        self._left_s = time.monotonic()
        for spot in self._instances:
            self._launch(spot, self._left_s)
        while not all(self._open):
            self._listen(time.monotonic() + CHECK_S)
        self._starting = False
        self._events.clear()
        self._left_s = time.monotonic()

    def places(self) -> list[tuple[str, int | None]]:
        return [(spot.device, spot.core) for spot in self._instances]

    def begin(self, zero_s: float) -> None:
        self._zero_s = zero_s

    def kill(self, instance: int) -> None:
        life = self._instances[instance].life
        if life is not None and not life.ended:
            life.on_demand = True
            self._kill(self._instances[instance], life, "killed on demand", time.monotonic())

    def close(self) -> None:
        # In this order, and again from the beginning if a second Ctrl-C breaks in.
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()
        self._open = [None] * len(self._instances)
        self._by_descriptor.clear()
        for spot in self._instances:
            if spot.life is not None:
                spot.life.channel.close()
                spot.life = None
        if self._keeper is not None:
            self._keeper.close()
        for spot in self._instances:
            spot.assignment.close()
        atexit.unregister(self.close)

    # -- tasks --------------------------------------------------------------------------------------------------------

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        life = self._open[instance]
        if life is None or len(life.tasks) >= self.prefetch:
            return False
        held = life.held[model]
        count = queries.shape[0]
        if queries.shape[1:] != held.query_shape or not 1 <= count <= self._batch_size:
            raise ValueError(
                f"queries of shape {tuple(queries.shape)}, expected 1 to {self._batch_size} of {held.query_shape}"
            )
        slot = INLINE
        if life.slots is not None and count * held.largest_bytes > life.inline_bytes:
            slot = life.free_slots[-1]
            life.slots.queries(slot, queries.shape).copy_(queries)
        try:
            header = TASK.pack(held.number, slot, count, task, self._zero_s)
            if slot == INLINE:
                life.channel.sendmsg((header, _numbers(queries)))
            else:
                life.channel.send(header)
        except OSError:
            return False  # The buffer is full; or the process has ended, as poll() is about to find out.
        if slot != INLINE:
            life.free_slots.pop()
        if not life.tasks:
            life.task_since_s = time.monotonic() - self._away_s
        life.tasks.append((task, held, slot, count))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        now_s = time.monotonic()
        if now_s - self._left_s > AWAY_S:
            self._away_s += now_s - self._left_s
        self._listen(now_s + timeout_s)
        events, self._events = self._events, []
        self._left_s = time.monotonic()
        return events

    def _listen(self, until_s: float) -> None:
        """Take in what comes until there is an event, or until the given time."""
        if self._epoll is None:
            return
        while True:
            ready = self._epoll.poll(0)
            now_s = time.monotonic()
            for descriptor, _ in ready:
                spot = self._by_descriptor.get(descriptor)
                if spot is None:
                    self._hear_of_ends(now_s)
                elif spot.life is not None:
                    self._receive(spot, spot.life, now_s)
            if now_s >= self._check_s:
                self._check(now_s)
            if self._events or now_s >= until_s:
                return
            wait_s = min(until_s, self._check_s) - now_s
            if not ready and wait_s > 0:
                self._wait(self._epoll, wait_s)

    def _wait(self, epoll: select.epoll, wait_s: float) -> None:
        before_s = time.monotonic()
        try:
            # epoll rounds to milliseconds, select does not.
            select.select([epoll], [], [], wait_s)
        except ValueError:  # More than 1,024 files are open.
            epoll.poll(wait_s)
        late_s = time.monotonic() - before_s - wait_s
        if late_s > AWAY_S:
            self._away_s += late_s

    def _receive(self, spot: _Instance, life: _Life, now_s: float) -> None:
        """Read what an instance has sent, to the last message."""
        receive, buffer, events, tasks = life.channel.recv_into, self._buffer, self._events, life.tasks
        life.heard_s = now_s - self._away_s
        while True:
            try:
                size = receive(buffer)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # It ended with tasks unread. That is said once; what it sent before is still there.
            if size == 0:
                self._end(spot, life, now_s)
                return
            kind, corrupted, slot, count, task, started_s, finished_s = ANSWER.unpack_from(buffer)
            if kind == FINISHED:
                _, held, _, _ = tasks.popleft()
                life.task_since_s = now_s - self._away_s
                life.worked = True
                shape = (count, *held.output_shape)
                if slot == INLINE:
                    outputs = torch.frombuffer(buffer[ANSWER.size : size], dtype=torch.float32).view(shape)
                else:
                    outputs = self._take_from_slot(life, slot, shape)
                events.append(Finished(spot.index, task, outputs, started_s, finished_s, corrupted))
                if not tasks:
                    return  # What else may be there can wait; asking whether there is something costs a system call.
            elif kind == RAISED:
                tasks.popleft()
                life.task_since_s = now_s - self._away_s
                if slot != INLINE:
                    life.free_slots.append(slot)
                events.append(Raised(spot.index, task, buffer[ANSWER.size : size].decode()))
            elif kind == READY:
                life.ready = True
                self._open[spot.index] = life
                if not self._starting:
                    events.append(Up(spot.index))
            elif kind == FAILED:
                life.reason = buffer[ANSWER.size : size].decode()

    def _take_from_slot(self, life: _Life, slot: int, shape: tuple[int, ...]) -> Tensor:
        assert life.slots is not None
        outputs = life.slots.outputs(slot, shape).clone()
        life.free_slots.append(slot)
        return outputs

    # -- lives --------------------------------------------------------------------------------------------------------

    def _launch(self, spot: _Instance, now_s: float) -> None:
        """Begin a life; returns at once."""
        spot.restart_s = float("inf")
        try:
            self._begin_life(spot, now_s)
        except OSError as error:
            if self._starting:
                raise UserError(f"instance {spot.index} cannot start: {error}; see `ulimit -n`") from None
            log.warning("instance %d cannot start at the moment: %s", spot.index, error)
            spot.restart_s = now_s + LONGEST_DELAY_S

    def _begin_life(self, spot: _Instance, now_s: float) -> None:
        assert self._keeper is not None and self._epoll is not None
        ours, theirs, room_bytes = channel()
        inline_bytes = int(min(self.shared_memory_kb * 1024, room_bytes)) // 4 * 4
        self._buffer.extend(bytes(max(0, ANSWER.size + max(inline_bytes, 4 * MAX_TEXT) - len(self._buffer))))
        slots = None
        if any(self._batch_size * held.largest_bytes > inline_bytes for held in spot.held.values()):
            queries = self._batch_size * max(prod(held.query_shape) for held in spot.held.values())
            outputs = self._batch_size * max(prod(held.output_shape) for held in spot.held.values())
            slots = Slots(self.prefetch, queries, outputs)
        birth = Birth(
            instance_process.main,
            (theirs, slots, inline_bytes, spot.assignment),
            name=f"instance {spot.index}",
            belongings=[theirs] if slots is None else [theirs, slots],
        )
        spot.life = _Life(
            channel=ours,
            slots=slots,
            free_slots=list(range(self.prefetch)) if slots else [],
            inline_bytes=inline_bytes,
            birth=birth,
            held=spot.held,
            began_s=now_s - self._away_s,
            heard_s=now_s - self._away_s,
        )
        self._by_descriptor[ours.fileno()] = spot
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        self._keeper.start(birth)

    def _kill(self, spot: _Instance, life: _Life, reason: str, now_s: float) -> None:
        """Kill a process; its channel ends, and then its life."""
        life.reason = life.reason or reason
        life.patience_s = now_s + KILLED_S
        self._open[spot.index] = None
        pid = life.birth.pid
        if pid is None:
            # It has not begun. When it does it will find nobody at the other end.
            self._end(spot, life, now_s)
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _end(self, spot: _Instance, life: _Life, now_s: float) -> None:
        """Take note that a channel has ended."""
        assert self._epoll is not None
        self._epoll.unregister(life.channel)
        del self._by_descriptor[life.channel.fileno()]
        life.channel.close()
        self._open[spot.index] = None
        life.ended = True
        life.patience_s = now_s + EXIT_STATUS_S
        self._check_s = min(self._check_s, life.patience_s)
        self._settle(spot, life, now_s)

    def _hear_of_ends(self, now_s: float) -> None:
        assert self._keeper is not None
        with suppress(BlockingIOError):
            os.eventfd_read(self._keeper.news)
        for spot in self._instances:
            if spot.life is not None:
                self._settle(spot, spot.life, now_s)

    def _settle(self, spot: _Instance, life: _Life, now_s: float) -> None:
        """Say that a life is over, once it is known how it ended, and decide what follows."""
        if not life.ended or (life.birth.exit is None and now_s < life.patience_s):
            return
        spot.life = None
        reason = life.reason or life.birth.exit or NOT_KNOWN
        if self._starting and not self._try_again(spot, life):
            names = ", ".join(spot.held)
            raise UserError(f"instance {spot.index} ({names} on {spot.device}) cannot start: {reason}")
        failed = not life.on_demand and (not life.ready or bool(life.tasks))
        delay_s = spot.restarts.delay_s(now_s - self._away_s - life.began_s, life.worked, failed)
        if delay_s is None:
            reason = f"given up after {spot.restarts.failures} failures in a row, the last one: {reason}"
            log.warning("instance %d is left out for the rest of the run: %s", spot.index, reason)
            self._events.append(Down(spot.index, reason, final=True))
            return
        log.log(logging.INFO if life.on_demand else logging.WARNING, "instance %d is down: %s", spot.index, reason)
        if life.ready:
            self._events.append(Down(spot.index, reason))
        spot.restart_s = now_s + delay_s
        self._check_s = min(self._check_s, spot.restart_s)
        if delay_s <= 0:
            self._launch(spot, now_s)

    def _try_again(self, spot: _Instance, life: _Life) -> bool:
        """Whether an instance that has not started is given another chance: one that somebody has killed."""
        killed = life.reason is None and (life.birth.exit or NOT_KNOWN) in (NOT_KNOWN, KILLED)
        return killed and spot.restarts.failures + 1 < self.max_failures

    def _check(self, now_s: float) -> None:
        """Look for what does not come as a message: silence, long tasks, and times that have come."""
        self._check_s = now_s + CHECK_S
        for spot in self._instances:
            if spot.life is not None:
                self._check_life(spot, spot.life, now_s)
            elif now_s >= spot.restart_s:
                self._launch(spot, now_s)
            else:
                self._check_s = min(self._check_s, spot.restart_s)

    def _check_life(self, spot: _Instance, life: _Life, now_s: float) -> None:
        if life.ended:
            self._settle(spot, life, now_s)
            return
        if now_s >= life.patience_s:
            self._end(spot, life, now_s)
            return
        if life.reason is not None:
            return
        listening_s = now_s - self._away_s
        if not life.ready:
            if listening_s - life.began_s > self.start_timeout_s:
                self._kill(spot, life, f"not ready after pool.start_timeout_s={self.start_timeout_s:g}", now_s)
        elif listening_s - life.heard_s > self.hang_timeout_s:
            self._kill(spot, life, f"no sign of life for pool.hang_timeout_s={self.hang_timeout_s:g}", now_s)
        elif life.tasks and listening_s - life.task_since_s > self.task_timeout_s:
            self._kill(spot, life, f"one task took longer than pool.task_timeout_s={self.task_timeout_s:g}", now_s)


def _numbers(queries: Tensor) -> memoryview:
    """The float32 numbers of a tensor as they lie in memory; a copy only where they do not lie so."""
    if queries.dtype is not torch.float32 or not queries.is_contiguous() or queries.requires_grad:
        queries = queries.detach().to(torch.float32).contiguous()
    return queries.numpy().data


def _held(number: int, served: ServedModel) -> _Held:
    largest_bytes = 4 * max(prod(served.query_shape), prod(served.output_shape))
    return _Held(number, tuple(served.query_shape), tuple(served.output_shape), largest_bytes)


def _require(name: str, value: object, least: float) -> None:
    kind = int if isinstance(least, int) and name in {"prefetch", "max_failures"} else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not value >= least:
        raise ConfigError(f"pool.{name}={value}: expected a number of {least:g} or more")


def _check_pickles(name: str, load: ModelLoader) -> None:
    try:
        pickle.dumps(load)
    except Exception as error:
        raise UserError(
            f"model {name}: its loader cannot be sent to an instance ({one_line(str(error))}); make it a function of "
            "a module, or a functools.partial of one"
        ) from None


def _modules(loaders: Iterable[Callable[[], object]]) -> list[str]:
    """Modules that loaders come from: imported once by the fork server, they need not be by every instance."""
    names: dict[str, None] = {}
    for load in loaders:
        function = getattr(load, "func", load)
        module = getattr(function, "__module__", None) or type(function).__module__
        if module not in {"__main__", "__mp_main__"}:
            names[module] = None
    return list(names)
