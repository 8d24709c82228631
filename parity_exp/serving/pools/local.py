"""Instances as processes of this machine.

The frontend and each instance talk over a channel (:mod:`parity_exp.serving.transport`); a keeper
(:mod:`parity_exp.serving.pools.keeper`) starts and buries processes; what becomes of an instance is in
:mod:`parity_exp.serving.pools.supervised`.

Rules:

* A life is a process with its channel, its memory and its tasks. The end of the channel is the end of the life.
* An instance that goes over to another assignment keeps its process and channel, and the models that both have.
* Nothing blocks but :meth:`LocalPool.poll`, for as long as it may, and :meth:`LocalPool.start`.
"""

import atexit
import os
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
from typing import Annotated, Literal

import cloudpickle  # type: ignore[import-untyped]
import torch
from annotated_types import MinLen
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.devices.cores import usable_cores
from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.ranges import NotNegative, Prefetch, ServiceTime, Text, Timeout
from parity_exp.recordings.error_text import MAX_TEXT
from parity_exp.serving import instance as instance_process
from parity_exp.serving.passes.acceleration import AUTO, Acceleration
from parity_exp.serving.pool import Finished, Raised, ServedModel, Stopped
from parity_exp.serving.pools.devices import place
from parity_exp.serving.pools.keeper import Birth, Keeper
from parity_exp.serving.pools.restarts import Restarts
from parity_exp.serving.pools.supervised import (
    HeldModel,
    Life,
    Spot,
    SupervisedPool,
    check_pickles,
    held_models,
    identity,
)
from parity_exp.serving.stop_orders import ORDER, orders_channel
from parity_exp.serving.transport import (
    ANSWER,
    FAILED,
    FINISHED,
    INLINE,
    RAISED,
    READY,
    STOPPED,
    TASK,
    Parcel,
    Slots,
    channel,
    send_assignment,
)
from parity_exp.serving.worker import Assignment

MOST_INSTANCES = 1_000
"""Processes with a network each; more would end a machine rather than start."""

FIRST, LAST = "parity_exp.serving.pools.quiet_gpu_check", "parity_exp.serving.pools.preload"
"""What the fork server imports before and after the modules of models."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Life(Life):
    """A process, from the order to start it."""

    channel: socket.socket
    birth: Birth
    slots: Slots | None
    free_slots: list[int]
    inline_bytes: int
    held: dict[str, HeldModel]
    orders: socket.socket | None = None
    tasks: deque[HeldModel] = field(default_factory=deque)

    @property
    def exit(self) -> str | None:
        return self.birth.exit


class LocalPool(SupervisedPool[_Life]):
    """Instances as processes of this machine, started by a fork server that has imported torch.

    Args:
        devices: ``auto`` (all visible GPUs in turn, the CPU where there is none), ``cpu``, or a list of devices.
        pin_cores: keep each instance on one core, in turn.
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        interrupts: an instance stops at a task that nobody needs any more, before it begins and while it sleeps, for
            ``service_time_ms`` or an injected delay; not while a model computes.
        service_time_ms: a task takes at least that long: the instance sleeps for the rest, and so a small model
            behaves like a large one. 0 for none.
        shared_memory_kb: queries and outputs of a task that are larger go through shared memory.
        start_timeout_s: until an instance has to be ready.
        hang_timeout_s: an instance without a sign of life for so long is killed. It gives one every 0.25 s.
        task_timeout_s: an instance that works at one task for so long is killed; injected delays count.
        max_failures: deaths in a row, each before a task was finished, after which an instance is given up.
        cuda_graphs: on GPUs: capture passes at the start, and replay them. True, False, or ``auto``: where it can be.
        precision: that networks work in, float32, bfloat16 or float16; outputs are float32.
        compile: run networks through ``torch.compile``.
        tf32: on GPUs: float32 products may use 10 bits of the mantissa.
        cudnn_benchmark: on GPUs: try cuDNN's algorithms out at the start.
        channels_last: layout of images. True, False, or ``auto``: on GPUs, for convolutions on tensor cores.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        devices: Text | Annotated[Sequence[Text], MinLen(1)] = "auto",
        pin_cores: bool = False,
        prefetch: Prefetch = 1,
        service_time_ms: ServiceTime = 0.0,
        shared_memory_kb: NotNegative = 256,
        start_timeout_s: Timeout = 60.0,
        hang_timeout_s: Timeout = 2.0,
        task_timeout_s: Timeout = 30.0,
        max_failures: Prefetch = 5,
        cuda_graphs: bool | Literal["auto"] = AUTO,
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        compile: bool = False,  # noqa: A002
        tf32: bool = True,
        cudnn_benchmark: bool = False,
        channels_last: bool | Literal["auto"] = AUTO,
        interrupts: bool = False,
    ) -> None:
        super().__init__(
            prefetch,
            service_time_ms,
            start_timeout_s,
            hang_timeout_s,
            task_timeout_s,
            max_failures,
            instance_process.HEARTBEAT_S,
            Acceleration(
                cuda_graphs=cuda_graphs,
                precision=precision,
                compile=compile,
                tf32=tf32,
                cudnn_benchmark=cudnn_benchmark,
                channels_last=channels_last,
            ),
        )
        self.devices = devices
        self.pin_cores = pin_cores
        self.interrupts = interrupts
        self.shared_memory_kb = shared_memory_kb
        self._by_descriptor: dict[int, Spot[_Life]] = {}
        self._buffer = bytearray()
        self._keeper: Keeper | None = None
        self._epoll: select.epoll | None = None
        self._put_away: list[Parcel] = []

    @property
    def pids(self) -> list[int | None]:
        """The process of each instance; None where there is none at the moment."""
        return [spot.life.birth.pid if spot.life else None for spot in self._instances]

    # -- start and end ------------------------------------------------------------------------------------------------

    def check(self, instances: int) -> None:
        if instances > MOST_INSTANCES:
            raise SettingError(
                f"{{/instances}}: {instances:,} instances, each a process of this machine, which has room for "
                f"{MOST_INSTANCES:,}; take fewer, pool=ray, or `simulate`"
            )
        devices = place(self.devices, instances)
        if self.acceleration.cuda_graphs is True and not all(device.startswith("cuda") for device in devices):
            raise SettingError(
                f"{{cuda_graphs}}=true: instances are on {', '.join(sorted(set(devices)))}, and only GPUs capture "
                "graphs; take {cuda_graphs}=auto, or GPUs as {devices}"
            )

    def cores(self) -> int:
        return usable_cores()

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        if not hasattr(os, "memfd_create") or not hasattr(os, "eventfd"):
            raise UserError(f"pool=local: needs Linux, this is {sys.platform}")
        if self._keeper is not None and self._epoll is None:
            raise RuntimeError("a pool that was closed cannot be started")
        self.check(len(held))
        for name, served in models.items():
            check_pickles(name, served.load)
        try:
            if self._keeper is None or self._epoll is None:
                self._epoll = select.epoll()
                self._keeper = Keeper([FIRST, *_modules(served.load for served in models.values()), LAST])
                self._epoll.register(self._keeper.news, select.EPOLLIN)
            self._arrange(models, held, batch_size, timelines)
            self._start_all()
        except BaseException:
            self.close()
            raise

    def _arrange(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        """Say what the instance at every spot is to do; instances that are there from before stay where they are."""
        self._batch_size = batch_size
        devices = place(self.devices, len(held))
        cores = sorted(os.sched_getaffinity(0))
        crowded = len(held) + 1 > usable_cores()
        identities = {name: identity(served) for name, served in models.items()}
        for spot in self._instances[len(held) :]:
            self._dismiss(spot)
        del self._instances[len(held) :]
        for index, names in enumerate(held):
            core = cores[index % len(cores)] if self.pin_cores else None
            assignment = Assignment(
                index=index,
                models=tuple(models[name] for name in names),
                names=tuple(names),
                identities=tuple(identities[name] for name in names),
                device=devices[index],
                core=core,
                batch_size=batch_size,
                service_time_s=self.service_time_ms / 1e3,
                timeline=timelines[index],
                acceleration=self.acceleration,
                crowded=crowded,
            )
            try:
                parcel = Parcel(cloudpickle.dumps(assignment))
            except OSError as error:
                raise UserError(f"instance {index} cannot start: {error}; see `ulimit -n`") from None
            there = held_models(models, names)
            if index < len(self._instances):
                spot = self._instances[index]
                self._forget(spot)
                spot.held, spot.assignment, spot.restarts = there, parcel, Restarts(self.max_failures)
            else:
                restarts = Restarts(self.max_failures)
                self._instances.append(
                    Spot(
                        index=index,
                        device=devices[index],
                        core=core,
                        held=there,
                        assignment=parcel,
                        restarts=restarts,
                    )
                )

    def _dismiss(self, spot: Spot[_Life]) -> None:
        """End the instance of a spot that is not wanted any more."""
        life, spot.life = spot.life, None
        if life is not None:
            self._strike(life)
            if not life.ended:
                self._let_go(life)
        self._put_away.append(spot.assignment)

    def _forget(self, spot: Spot[_Life]) -> None:
        """Give a spot's assignment back, unless a process that is being started is still to have it."""
        if spot.life is None or spot.life.birth.pid is not None or spot.life.birth.exit is not None:
            spot.assignment.close()
        else:
            self._put_away.append(spot.assignment)

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
                if spot.life.orders is not None:
                    spot.life.orders.close()
                spot.life = None
        if self._keeper is not None:
            self._keeper.close()
        for parcel in [*self._put_away, *(spot.assignment for spot in self._instances)]:
            parcel.close()
        atexit.unregister(self.close)

    # -- tasks --------------------------------------------------------------------------------------------------------

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        life = self._open[instance]
        if life is None or len(life.tasks) >= self.prefetch:
            return False
        held = life.held[model]
        held.check(queries, self._batch_size)
        count = queries.shape[0]
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
        life.tasks.append(held)
        return True

    def interrupt(self, instance: int, task: int) -> None:
        life = self._open[instance]
        if life is not None and life.orders is not None:
            with suppress(OSError):  # full, or its end is about to be found out: then it goes on, or is gone
                life.orders.send(ORDER.pack(task))

    def bell(self) -> int | None:
        return None if self._epoll is None else self._epoll.fileno()

    def _listen(self, until_s: float) -> None:
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
        self._count_away(time.monotonic() - before_s - wait_s)

    def _receive(self, spot: Spot[_Life], life: _Life, now_s: float) -> None:
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
                held = tasks.popleft()
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
                events.append(Raised(spot.index, task, buffer[ANSWER.size : size].decode(errors="replace")))
            elif kind == STOPPED:
                tasks.popleft()
                life.task_since_s = now_s - self._away_s
                life.worked = True
                if slot != INLINE:
                    life.free_slots.append(slot)
                events.append(Stopped(spot.index, task, started_s, finished_s))
            elif kind == READY:
                self._is_ready(spot, life, buffer[ANSWER.size : size].decode(errors="replace").splitlines())
            elif kind == FAILED:
                life.reason = buffer[ANSWER.size : size].decode(errors="replace")

    def _take_from_slot(self, life: _Life, slot: int, shape: tuple[int, ...]) -> Tensor:
        assert life.slots is not None
        outputs = life.slots.outputs(slot, shape).clone()
        life.free_slots.append(slot)
        return outputs

    # -- lives --------------------------------------------------------------------------------------------------------

    def _begin_life(self, spot: Spot[_Life], now_s: float) -> None:
        assert self._keeper is not None and self._epoll is not None
        ours, theirs, room_bytes = channel()
        inline_bytes = int(min(self.shared_memory_kb * 1024, room_bytes)) // 4 * 4
        self._buffer.extend(bytes(max(0, ANSWER.size + max(inline_bytes, 4 * MAX_TEXT) - len(self._buffer))))
        slots = self._slots(spot, inline_bytes)
        orders, heard = orders_channel() if self.interrupts else (None, None)
        birth = Birth(
            instance_process.main,
            (theirs, slots, inline_bytes, spot.assignment, heard),
            name=f"instance {spot.index}",
            belongings=[one for one in (theirs, slots, heard) if one is not None],
        )
        spot.life = _Life(
            assignment=spot.assignment,
            channel=ours,
            orders=orders,
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

    def _slots(self, spot: Spot[_Life], inline_bytes: int, there: Slots | None = None) -> Slots | None:
        """Shared memory for a spot's tasks, where some do not fit in a message; None: no new one."""
        if all(self._batch_size * held.largest_bytes <= inline_bytes for held in spot.held.values()):
            return None
        queries = self._batch_size * max(prod(held.query_shape) for held in spot.held.values())
        outputs = self._batch_size * max(prod(held.output_shape) for held in spot.held.values())
        if there is not None and there.holds(self.prefetch, queries, outputs):
            return None
        return Slots(self.prefetch, queries, outputs)

    def _hand_over(self, spot: Spot[_Life], life: _Life) -> bool:
        try:
            slots = self._slots(spot, life.inline_bytes, life.slots)
            send_assignment(life.channel, spot.assignment, slots)
        except OSError:
            return False
        if slots is not None:
            slots.close()
            life.slots, life.free_slots = slots, list(range(self.prefetch))
        life.held = spot.held
        life.worked = False
        return True

    def _strike(self, life: _Life) -> bool:
        # One that has not begun finds nobody at the other end of its channel when it does.
        if life.birth.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(life.birth.pid, signal.SIGKILL)
        return life.birth.pid is not None

    def _let_go(self, life: _Life) -> None:
        assert self._epoll is not None
        self._epoll.unregister(life.channel)
        del self._by_descriptor[life.channel.fileno()]
        life.channel.close()
        if life.orders is not None:
            life.orders.close()

    def _hear_of_ends(self, now_s: float) -> None:
        assert self._keeper is not None
        with suppress(BlockingIOError):
            os.eventfd_read(self._keeper.news)
        for spot in self._instances:
            if spot.life is not None:
                self._settle(spot, spot.life, now_s)


def _numbers(queries: Tensor) -> memoryview:
    """The float32 numbers of a tensor as they lie in memory; a copy only where they do not lie so."""
    if queries.dtype is not torch.float32 or not queries.is_contiguous() or queries.requires_grad:
        queries = queries.detach().to(torch.float32).contiguous()
    return queries.numpy().data


def _modules(loaders: Iterable[Callable[[], object]]) -> list[str]:
    """Modules that loaders come from: imported once by the fork server, they need not be by every instance."""
    names: dict[str, None] = {}
    for load in loaders:
        names |= dict.fromkeys(getattr(load, "python_modules", ()))
        function = getattr(load, "func", load)
        module = getattr(function, "__module__", None) or type(function).__module__
        if module not in {"__main__", "__mp_main__"}:
            names[module] = None
    return list(names)
