"""What a frontend's process has of instances and clients: the relay tells it of both."""

import math
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from math import prod
from typing import NoReturn

from torch import Tensor

from parity_exp.serving.clients import Clients
from parity_exp.serving.pool import Down, Event, Finished, Instances, Raised, ServedModel, Stopped, Up
from parity_exp.serving.several import wire
from parity_exp.serving.several.wire import MESSAGE, message
from parity_exp.serving.transport import Slots


class RelayedInstances(Instances):
    """Instances that the relay sends tasks to.

    Args:
        channel: the frontend's end.
        slots: for queries and outputs.
        models: that instances hold, in the order of their numbers.
        instances: how many there are.
        prefetch: tasks of this frontend that an instance may have at a time.
        interrupts: whether instances can be told to stop.
        clients: are told who asks.
    """

    def __init__(
        self,
        channel: socket.socket,
        slots: Slots,
        models: Mapping[str, ServedModel],
        instances: int,
        prefetch: int,
        interrupts: bool,
        clients: "RelayedClients",
    ) -> None:
        self.prefetch = prefetch
        self.interrupts = interrupts
        self._channel = channel
        self._slots = slots
        self._free = list(range(slots.layout[0]))
        self._number = {name: number for number, name in enumerate(models)}
        self._outputs = [tuple(served.output_shape) for served in models.values()]
        self._lives = [0] * instances
        self._tasks: dict[int, tuple[int, int, int, int]] = {}  # slot, queries, model and instance of each
        self._clients = clients
        self._buffer = bytearray(MESSAGE.size + wire.TEXT_BYTES)
        self._zero_s = math.nan

    def start(self) -> float | None:
        """Say that the frontend is ready; return when the run begins, by ``time.monotonic()``, None: it does not."""
        tell(self._channel, message(wire.READY))
        while math.isnan(self._zero_s) and not self._clients.are_served:
            self.poll(1.0)
        return None if math.isnan(self._zero_s) else self._zero_s

    def begin(self, zero_s: float) -> None:
        """Instances know from the relay."""

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        if not self._free:
            return False
        slot, number, count = self._free.pop(), self._number[model], len(queries)
        self._slots.queries(slot, queries.shape).copy_(queries)
        life = self._lives[instance]
        if not _sent(self._channel, MESSAGE.pack(wire.SEND, 0, number, instance, slot, task, life, count, 0.0)):
            self._free.append(slot)
            return False
        self._tasks[task] = slot, count, number, instance
        return True

    def interrupt(self, instance: int, task: int) -> None:
        _sent(self._channel, message(wire.INTERRUPT, instance=instance, number=task))  # where not, it goes on

    def poll(self, timeout_s: float) -> list[Event]:
        events = self._receive()
        if not events and timeout_s > 0 and not self._clients.told:
            self._wait(timeout_s)
            events = self._receive()
        self._clients.told = False
        return events

    def _wait(self, timeout_s: float) -> None:
        try:
            select.select([self._channel], [], [], timeout_s)  # poll and epoll round to milliseconds
        except ValueError:  # more than 1,024 files are open
            poll = select.poll()
            poll.register(self._channel, select.POLLIN)
            poll.poll(timeout_s * 1e3)

    def _receive(self) -> list[Event]:
        """Read what the relay has sent, to the last message."""
        events: list[Event] = []
        buffer, channel = self._buffer, self._channel
        while True:
            try:
                size = channel.recv_into(buffer)
            except BlockingIOError:
                return events
            except OSError:
                size = 0
            if not size:
                gone()
            kind, flag, _, instance, _, number, count, first_s, last_s = MESSAGE.unpack_from(buffer)
            if kind == wire.FINISHED:
                slot, queries, model, _ = self._tasks.pop(number)
                outputs = self._slots.outputs(slot, (queries, *self._outputs[model])).clone()
                self._free.append(slot)
                events.append(Finished(instance, number, outputs, first_s, last_s, bool(flag)))
            elif kind == wire.RAISED:
                self._free.append(self._tasks.pop(number)[0])
                events.append(Raised(instance, number, _text(buffer, size)))
            elif kind == wire.STOPPED:
                self._free.append(self._tasks.pop(number)[0])
                events.append(Stopped(instance, number, first_s, last_s))
            elif kind == wire.DOWN:
                self._lives[instance] = count
                for task in [task for task, (*_, where) in self._tasks.items() if where == instance]:
                    self._free.append(self._tasks.pop(task)[0])
                # As somebody wanted it: the relay takes note of it where nobody did, once for all frontends.
                events.append(Down(instance, _text(buffer, size), bool(flag), on_demand=True))
            elif kind == wire.UP:
                events.append(Up(instance))
            elif kind == wire.ASKED:
                self._clients.ask(number, first_s)
            elif kind == wire.GIVE_UP:
                self._clients.fall_silent(count)
            elif kind == wire.END:
                self._clients.end()
            elif kind == wire.GO:
                self._zero_s = first_s
                self._clients.told = True  # who waits for this waits no longer


class RelayedClients(Clients):
    """Clients that the relay speaks for, beside those of an open loop, whose queries are known from the start.

    Args:
        channel: the frontend's end.
        queries: numbers of the queries of an open loop that come here; of a closed loop there are none.
        due_s: when each is due.
        closed: the relay says when the next query is due, which is when some have been answered.

    Attributes:
        told: the relay has told something since this was last set to false.
    """

    def __init__(self, channel: socket.socket, queries: Sequence[int], due_s: Sequence[float], closed: bool) -> None:
        self._channel = channel
        self._due = list(zip(due_s, queries, strict=True))
        heapify(self._due)
        self._closed = closed
        self._asked = len(self._due)
        self._answered = 0
        self._told_stuck = self._silent = -1
        self._over = False
        self.told = False
        self._look()

    def due(self, now_s: float) -> Iterator[tuple[int, float]]:
        due = self._due
        while due and due[0][0] <= now_s:
            scheduled_s, query = heappop(due)
            yield query, scheduled_s
        self._look()

    def answered(self, count: int, now_s: float) -> None:
        self._answered += count
        if self._closed or self._answered == self._asked:
            tell(self._channel, message(wire.ANSWERED, number=self._answered, first_s=now_s))

    def alive(self, answered: int) -> None:
        """Tell the relay how many queries have been answered, now and then."""
        tell(self._channel, message(wire.ALIVE, number=answered))

    def are_quiet(self) -> bool:
        if self._due:
            return False
        if not self._closed or self._silent == self._asked:
            return True
        if self._told_stuck != self._asked:
            self._told_stuck = self._asked
            tell(self._channel, message(wire.STUCK, number=self._asked))
        return False

    @property
    def are_served(self) -> bool:
        return self._over

    # ---- told by the relay

    def ask(self, query: int, scheduled_s: float) -> None:
        """A query is due."""
        heappush(self._due, (scheduled_s, query))
        self._asked += 1
        self.told = True
        self._look()

    def fall_silent(self, asked: int) -> None:
        """After so many queries nobody asks any more before somebody is answered."""
        self._silent = asked
        self.told = True

    def end(self) -> None:
        """The run is over."""
        self._over = self.told = True

    def _look(self) -> None:
        self.next_s = self._due[0][0] if self._due else math.inf


def tell(channel: socket.socket, *parts: bytes) -> None:
    """Send what must come; waits while there is no room."""
    for part in parts:
        while not _sent(channel, part):
            time.sleep(1e-4)


def hand_in(channel: socket.socket, content: bytes, last: int) -> None:
    """Send something of any length, ``last`` saying what it is."""
    pieces = [content[at : at + wire.PIECE_BYTES] for at in range(0, len(content), wire.PIECE_BYTES)] or [b""]
    tell(channel, *(message(wire.PIECE, text=piece) for piece in pieces[:-1]), message(last, text=pieces[-1]))


def slots_for(models: Mapping[str, ServedModel], instances: int, prefetch: int, batch_size: int) -> Slots:
    """Room for all that a frontend can have at instances at a time."""
    queries = max(prod(served.query_shape) for served in models.values())
    outputs = max(prod(served.output_shape) for served in models.values())
    return Slots(instances * prefetch, batch_size * queries, batch_size * outputs)


def gone() -> NoReturn:
    """The relay is gone, and with it everybody who would want anything of this process."""
    os._exit(0)


def _sent(channel: socket.socket, part: bytes) -> bool:
    try:
        channel.send(part)
    except BlockingIOError:
        return False
    except OSError:
        gone()
    return True


def _text(buffer: bytearray, size: int) -> str:
    return buffer[MESSAGE.size : size].decode(errors="replace")
