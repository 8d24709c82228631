"""The relay: the one process that has the pool, between it and the processes of frontends.

It takes tasks from frontends and gives them to instances in the order in which they came; what an instance cannot take
in hand yet waits here, for each frontend knows of its own tasks only. It tells frontends what becomes of their tasks
and of instances, carries out the straggler trace, and looks after the frontends: one that dies or hangs is left out.

Rules:

* Nothing blocks but the wait for whatever comes first, and that ends by itself.
* An instance's lives are counted. A task that was sent before its frontend knew of a death is nobody's, as those that
  the instance had are.
* Tasks go to the pool under numbers of the relay's own, which ascend at every instance.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf

import cloudpickle  # type: ignore[import-untyped]
import torch

from parity_exp.recordings.troubles import Troubles
from parity_exp.serving.dispatch import note_end
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.frontend import TELL_S
from parity_exp.serving.pool import Down, Event, Finished, Pool, Raised, ServedModel, Stopped
from parity_exp.serving.several import wire
from parity_exp.serving.several.arrivals import Arrivals
from parity_exp.serving.several.wire import MESSAGE, message
from parity_exp.serving.transport import Slots

LOOK_S = 0.05
"""How often the pool is polled, and frontends are looked at, though nothing has come."""

BRIEF_S = 0.0005
"""How long to wait for a pool that has no bell."""

AGAIN_S = 0.001
"""When to try once more what a full buffer has refused."""

HANGS_S = 10.0
"""A frontend that says nothing for so long hangs; it gives a sign of life every 0.25 s."""

STARTS_S = 60.0
"""Likewise one that is not ready."""


class Side:
    """A frontend, as the relay sees it.

    Attributes:
        number: which.
        channel: the relay's end.
        slots: where its queries are, and its outputs go.
        ready: it can begin.
        asked: queries that it has been told of, or knows from the start.
        answered: queries that it has answered, as told; all of them once it has told so.
        stuck: it can do nothing more for those without an answer, if it was asked so many; -1: it can.
        tasks: what it has at instances or in front of them, by its own numbers.
        handed_in: what it has handed in.
        over: it has handed in all, or is dead.
        death: why it is dead.
    """

    def __init__(self, number: int, channel: socket.socket, slots: Slots, asked: int) -> None:
        self.number = number
        self.channel = channel
        self.slots = slots
        self.ready = False
        self.asked = asked
        self.answered = self.alive = 0
        self.stuck = -1
        self.tasks: dict[int, _Task] = {}
        self.heard_s = 0.0
        self.pieces: list[bytes] = []
        self.handed_in: bytes | None = None
        self.over = False
        self.death: str | None = None
        self._outbox: deque[bytes] = deque()

    @property
    def dead(self) -> bool:
        """Whether it is."""
        return self.death is not None

    def tell(self, part: bytes) -> None:
        """Tell it something, at once or as soon as there is room."""
        if self._outbox or not self._sent(part):
            self._outbox.append(part)

    def flush(self) -> bool:
        """Tell what there was no room for; whether there is something left."""
        while self._outbox and self._sent(self._outbox[0]):
            self._outbox.popleft()
        return bool(self._outbox)

    def _sent(self, part: bytes) -> bool:
        try:
            self.channel.send(part)
        except BlockingIOError:
            return False
        except OSError:
            pass  # it is gone, as reading is about to find out
        return True


class _Task:
    __slots__ = ("count", "instance", "model", "number", "side", "slot")

    def __init__(self, side: Side, number: int, instance: int, model: int, slot: int, count: int) -> None:
        self.side = side
        self.number = number
        self.instance = instance
        self.model = model
        self.slot = slot
        self.count = count


class Relay:
    """Between frontends and the pool; see the module.

    Args:
        pool: started.
        sides: the frontends, which have been forked.
        models: that instances hold, in the order of their numbers.
        instances: how many there are.
        arrivals: says what is passed on when.
        disturber: started; carries out the straggler trace.
        troubles: is told of instances that die.
        died: is told of a frontend that is dead, and when.
        progress: is told now and then how many queries have been answered.

    Attributes:
        cpu_s: the time that it has spent on a processor during the run.
        error: what a frontend has raised.
    """

    def __init__(
        self,
        pool: Pool,
        sides: Sequence[Side],
        models: Mapping[str, ServedModel],
        instances: int,
        arrivals: Arrivals,
        disturber: Disturber,
        troubles: Troubles,
        died: Callable[[Side, float], None],
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.pool = pool
        self.sides = sides
        self.names = list(models)
        self.shapes = [tuple(served.query_shape) for served in models.values()]
        self.arrivals = arrivals
        self.disturber = disturber
        self.troubles = troubles
        self.died = died
        self.progress = progress
        self.cpu_s = 0.0
        self.error: BaseException | None = None
        self._lives = [0] * instances
        self._waiting: list[deque[_Task]] = [deque() for _ in range(instances)]
        self._at: list[dict[int, _Task]] = [{} for _ in range(instances)]
        self._full: set[int] = set()
        self._sent = 0
        self._disturb_s = 0.0
        self._zero_s = inf
        self._buffer = bytearray(MESSAGE.size + wire.PIECE_BYTES)
        self._side_of = {side.channel.fileno(): side for side in sides}
        self._epoll = select.epoll()
        for descriptor in self._side_of:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._bell = pool.bell()
        if self._bell is not None:
            self._epoll.register(self._bell, select.EPOLLIN)

    @property
    def living(self) -> list[Side]:
        """Frontends that are not dead."""
        return [side for side in self.sides if not side.dead]

    def run(self, lead_s: float) -> None:
        """Serve until every query has its answer, or no frontend is left.

        Args:
            lead_s: from when all frontends are ready to the beginning of the run.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            BaseException: what a frontend has raised.
        """
        now_s = time.monotonic()
        for side in self.sides:
            side.heard_s = now_s
        collecting = gc.isenabled()
        gc.disable()  # as in a frontend
        cpu_s = time.thread_time()
        try:
            with torch.inference_mode():
                self._turn_until(lambda: all(side.ready or side.dead for side in self.sides))
                zero_s = self._zero_s = time.monotonic() + lead_s
                self.pool.begin(zero_s)
                self.disturber.begin(zero_s)
                for side in self.living:
                    side.tell(message(wire.GO, first_s=zero_s))
                self._turn_until(self._is_over)
        finally:
            self.cpu_s = time.thread_time() - cpu_s
            if collecting:
                gc.enable()
        self.progress(sum(side.answered for side in self.sides))

    def end(self, patience_s: float) -> None:
        """Let frontends hand in what they have; returns when they have, or the patience is at its end."""
        for side in self.living:
            side.tell(message(wire.END))
        until_s = time.monotonic() + patience_s
        while any(not side.over for side in self.sides) and time.monotonic() < until_s:
            heard = sum(len(side.pieces) for side in self.sides)
            self._turn(until_s, watch=False)
            if sum(len(side.pieces) for side in self.sides) > heard:
                until_s = time.monotonic() + patience_s  # it goes on

    def close(self) -> None:
        """Give back what there is."""
        self._epoll.close()
        for side in self.sides:
            side.channel.close()
            side.slots.close()

    # ---- the loop

    def _turn_until(self, done: Callable[[], bool]) -> None:
        tell_s = 0.0
        while not done():
            self._turn(inf)
            if self.error is not None:
                raise self.error
            if time.monotonic() >= tell_s:
                tell_s = time.monotonic() + TELL_S
                self.progress(sum(max(side.answered, side.alive) for side in self.sides))

    def _is_over(self) -> bool:
        living = self.living
        if not living:
            return True
        return self.arrivals.all_sent() and all(side.answered == side.asked for side in living)

    def _turn(self, until_s: float, watch: bool = True) -> None:
        """Wait for something, and do what is to be done about it."""
        now_s = time.monotonic()
        zero_s = self._zero_s
        if watch and zero_s < inf:
            if now_s >= self._disturb_s:
                self._disturb_s = self.disturber.tick(now_s)
            until_s = min(until_s, self._disturb_s)
            if self.arrivals.next_s <= now_s - zero_s and self.living:
                self._pass_on(now_s - zero_s)
            until_s = min(until_s, self.arrivals.next_s + zero_s)
        for side in self.sides:
            if not side.over and side.flush():
                until_s = min(until_s, now_s + AGAIN_S)
        for instance in list(self._full):
            self._feed(instance)
            until_s = min(until_s, now_s + AGAIN_S)
        wait_s = min(max(until_s - time.monotonic(), 0.0), LOOK_S)
        if self._bell is None:
            self._take(self.pool.poll(min(wait_s, BRIEF_S)))
            wait_s = 0.0
        began_s = time.monotonic()
        ready = self._epoll.poll(wait_s)
        late_s = time.monotonic() - began_s - wait_s
        for descriptor, _ in ready:
            speaker = self._side_of.get(descriptor)
            if speaker is not None and not speaker.over:
                self._listen(speaker, began_s)
        self._take(self.pool.poll(0.0))
        if watch:
            self._look_after(late_s)

    def _pass_on(self, now_s: float) -> None:
        living = {side.number for side in self.living}
        for frontend, query, due_s in self.arrivals.due(now_s, living):
            side = self.sides[frontend]
            side.asked += 1
            side.stuck = -1
            side.tell(message(wire.ASKED, number=query, first_s=due_s))

    def _look_after(self, late_s: float) -> None:
        now_s = time.monotonic()
        for side in self.sides:
            if late_s > LOOK_S:
                side.heard_s += late_s  # it was this process that did not listen
            longest_s = HANGS_S if side.ready else STARTS_S
            if not side.over and now_s - side.heard_s > longest_s:
                self._bury(side, f"it has said nothing for {longest_s:g} s")

    # ---- from frontends

    def _listen(self, side: Side, now_s: float) -> None:
        """Read what a frontend has sent, to the last message."""
        buffer, channel = self._buffer, side.channel
        side.heard_s = now_s
        while not side.over:
            try:
                size = channel.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                self._bury(side, "")
                return
            kind, _, model, instance, slot, number, life, first_s, _ = MESSAGE.unpack_from(buffer)
            if kind == wire.SEND:
                if life == self._lives[instance]:
                    task = side.tasks[number] = _Task(side, number, instance, model, slot, int(first_s))
                    self._waiting[instance].append(task)
                    self._feed(instance)
            elif kind == wire.INTERRUPT:
                self._interrupt(side, instance, number)
            elif kind == wire.ANSWERED:
                new, side.answered = number - side.answered, number
                self.arrivals.answered(new, first_s)
            elif kind == wire.ALIVE:
                side.alive = number
            elif kind == wire.STUCK:
                side.stuck = number
                self._end_silence()
            elif kind == wire.READY:
                side.ready = True
            else:
                side.pieces.append(bytes(buffer[MESSAGE.size : size]))
                if kind == wire.HANDED_IN:
                    side.handed_in = b"".join(side.pieces)
                    side.over = True
                elif kind == wire.FAILED:
                    self.error = self.error or cloudpickle.loads(b"".join(side.pieces))
                    side.over = True

    def _end_silence(self) -> None:
        """Where nobody asks before somebody is answered, and nobody can be, let frontends give up what they have."""
        left = [side for side in self.living if side.answered < side.asked]
        if self.arrivals.next_s == inf and all(side.stuck == side.asked for side in left):
            for side in left:
                side.tell(message(wire.GIVE_UP, count=side.asked))

    def _interrupt(self, side: Side, instance: int, number: int) -> None:
        task = side.tasks.get(number)
        if task is None:
            return
        if task in self._waiting[instance]:
            self._waiting[instance].remove(task)
            del side.tasks[number]
            now_s = time.monotonic()
            side.tell(message(wire.STOPPED, instance=instance, number=number, first_s=now_s, last_s=now_s))
            return
        for sent, other in self._at[instance].items():
            if other is task:
                self.pool.interrupt(instance, sent)

    def _bury(self, side: Side, reason: str) -> None:
        """A frontend is dead, or as good as that: what it has in front of instances is not done."""
        side.death, side.over = reason, True
        for waiting in self._waiting:
            for task in [task for task in waiting if task.side is side]:
                waiting.remove(task)
        if self.pool.interrupts:
            for instance, tasks in enumerate(self._at):
                for sent, task in tasks.items():
                    if task.side is side:
                        self.pool.interrupt(instance, sent)
        with suppress(OSError):
            self._epoll.unregister(side.channel)
        self.died(side, time.monotonic() - self._zero_s)

    # ---- to instances and back

    def _feed(self, instance: int) -> None:
        """Give an instance what it can take in hand of what waits for it."""
        waiting, at = self._waiting[instance], self._at[instance]
        self._full.discard(instance)
        while waiting and len(at) < self.pool.prefetch:
            task = waiting[0]
            queries = task.side.slots.queries(task.slot, (task.count, *self.shapes[task.model]))
            if not self.pool.send(instance, self._sent, self.names[task.model], queries):
                self._full.add(instance)
                return
            at[self._sent] = waiting.popleft()
            self._sent += 1

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            instance = event.instance
            if isinstance(event, Finished | Raised | Stopped):
                task = self._at[instance].pop(event.task, None)
                if self._waiting[instance]:
                    self._feed(instance)
                if task is not None and not task.side.over:
                    self._answer(task, event)
            elif isinstance(event, Down):
                self._lives[instance] += 1
                for task in (*self._at[instance].values(), *self._waiting[instance]):
                    task.side.tasks.pop(task.number, None)
                self._at[instance].clear()
                self._waiting[instance].clear()
                self._full.discard(instance)
                note_end(event, self.troubles)
                text = event.reason.encode(errors="replace")[: wire.TEXT_BYTES]
                down = message(wire.DOWN, event.final, instance=instance, count=self._lives[instance], text=text)
                self._tell_all(down)
            else:
                self._tell_all(message(wire.UP, instance=instance))

    def _answer(self, task: _Task, event: Finished | Raised | Stopped) -> None:
        side, number, instance = task.side, task.number, task.instance
        side.tasks.pop(number, None)
        if isinstance(event, Raised):
            text = event.error.encode(errors="replace")[: wire.TEXT_BYTES]
            side.tell(message(wire.RAISED, instance=instance, number=number, text=text))
            return
        kind, spoilt = wire.STOPPED, False
        if isinstance(event, Finished):
            kind, spoilt = wire.FINISHED, event.corrupted
            side.slots.outputs(task.slot, event.outputs.shape).copy_(event.outputs)
        side.tell(MESSAGE.pack(kind, spoilt, 0, instance, 0, number, 0, event.started_s, event.finished_s))

    def _tell_all(self, part: bytes) -> None:
        for side in self.living:
            if not side.over:
                side.tell(part)
