"""What becomes of instances, whatever runs them: they start, are ready, end, rest, start again, or are given up.

Rules:

* An instance has one *life* at a time, from the order to start it to its end. Nothing passes from one life to the
  next, so nothing of a dead instance can reach a living one.
* What a life sent before its end is heard first; then comes ``Down``.
* A pool that is started again goes on with the instances that it has: each finishes what it has in hand, is given its
  new assignment, and is ready once more. One that cannot in time is replaced, and one that is not wanted any more ends.
* An instance that says nothing for too long, or works at one task for too long, is killed, and so its life ends.
  Only time in which the frontend listens counts: an answer that the frontend did not fetch is not late.
"""

import atexit
import hashlib
import logging
import pickle
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.recordings.error_text import one_line
from parity_exp.recordings.troubles import VARYING
from parity_exp.serving.passes import Acceleration
from parity_exp.serving.pool import Down, Event, ModelLoader, Pool, ServedModel, Up
from parity_exp.serving.pools.restarts import LONGEST_DELAY_S, Restarts

log = logging.getLogger(__name__)

CHECK_S = 0.1
"""How often lives are looked at for what nobody says."""

AWAY_S = 0.1
"""Time between two polls, or lost within one, from which on the frontend was not listening."""

EXIT_STATUS_S = 0.05
"""How long to wait, after the end of a life, for somebody to say how it came."""

DRAIN_S = 2.0
"""How long an instance may go on with what it has in hand when a pool is started again; then it is replaced."""

TELL_DEATHS = 3
"""Of deaths for the same reason so many are told of when they come; the run tells at its end how many there were."""

KILLED_S = 1.0
"""How long to wait for the end of a life that has been killed."""

NOT_KNOWN = "its process ended"
KILLED = "its process was killed by SIGKILL (by somebody, or for want of memory)"
"""How an instance ended: nobody knows, and not of itself."""


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model that an instance holds, as tasks need it.

    Attributes:
        number: its place among the instance's models.
        query_shape: of one query.
        output_shape: of one prediction.
        largest_bytes: of a query or a prediction.
    """

    number: int
    query_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    largest_bytes: int

    def check(self, queries: Tensor, batch_size: int) -> None:
        """Refuse what is no batch of its queries.

        Raises:
            ValueError: with both shapes.
        """
        if queries.shape[1:] != self.query_shape or not 1 <= queries.shape[0] <= batch_size:
            raise ValueError(
                f"queries of shape {tuple(queries.shape)}, expected 1 to {batch_size} of {self.query_shape}"
            )


@dataclass(slots=True, eq=False, kw_only=True)
class Life:
    """One start of an instance, to its end; its times count only while we listen.

    Attributes:
        assignment: what it was given to do, in the form that the pool gives it.
        began_s: when it was started.
        heard_s: when it last said something.
        tasks: what it has in hand.
        task_since_s: since when it has worked at the first of them.
        placed: it has a machine to run on; what waits for one is not slow to start.
        ready: it takes tasks.
        worked: it has finished one.
        reason: why it ends, where that is known.
        on_demand: somebody wanted its end.
        hung: it was killed for its silence, or for one task.
        ended: it is over.
        patience_s: when to stop waiting for its end, or to hear how it came.
    """

    assignment: Any
    began_s: float
    heard_s: float
    tasks: Sized
    task_since_s: float = 0.0
    placed: bool = True
    ready: bool = False
    worked: bool = False
    reason: str | None = None
    on_demand: bool = False
    hung: bool = False
    ended: bool = False
    patience_s: float = float("inf")

    @property
    def exit(self) -> str | None:
        """How it ended, for people; None while that is not known."""
        return None


L = TypeVar("L", bound=Life)


@dataclass(slots=True, eq=False, kw_only=True)
class Spot(Generic[L]):
    """A place in the pool, with the life that fills it; None while it rests, or when it is given up.

    Attributes:
        assignment: what its life is to do, in the form that the pool gives it.
    """

    index: int
    device: str
    core: int | None
    held: dict[str, HeldModel]
    assignment: Any
    restarts: Restarts
    life: L | None = None
    restart_s: float = float("inf")


class SupervisedPool(Pool, Generic[L]):
    """A pool that looks after its instances; a subclass knows how to start one, talk to it and end it.

    Args:
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        service_time_ms: a task takes at least that long: the instance sleeps for the rest, and so a small model
            behaves like a large one. 0 for none.
        start_timeout_s: until an instance has to be ready.
        hang_timeout_s: an instance without a sign of life for so long is killed.
        task_timeout_s: an instance that works at one task for so long is killed; injected delays count.
        max_failures: deaths in a row, each before a task was finished, after which an instance is given up.
        heartbeat_s: how often an instance gives a sign of life.
        acceleration: how instances run their models.

    Raises:
        SettingError: a value is out of range.
    """

    def __init__(
        self,
        prefetch: int,
        service_time_ms: float,
        start_timeout_s: float,
        hang_timeout_s: float,
        task_timeout_s: float,
        max_failures: int,
        heartbeat_s: float,
        acceleration: Acceleration,
    ) -> None:
        if hang_timeout_s < 2 * heartbeat_s:
            raise SettingError(f"{{hang_timeout_s}}={hang_timeout_s}: expected a number of {2 * heartbeat_s:g} or more")
        if service_time_ms >= task_timeout_s * 1e3:
            raise SettingError(
                f"{{service_time_ms}}={service_time_ms:g}: a task that takes so long is killed after "
                f"{{task_timeout_s}}={task_timeout_s:g}; raise the latter"
            )
        self.prefetch = prefetch
        self.service_time_ms = service_time_ms
        self.start_timeout_s = start_timeout_s
        self.hang_timeout_s = hang_timeout_s
        self.task_timeout_s = task_timeout_s
        self.max_failures = max_failures
        self.acceleration = acceleration

        self._batch_size = 1
        self._instances: list[Spot[L]] = []
        # What send() looks at: the life of each instance that takes tasks.
        self._open: list[L | None] = []
        self._events: list[Event] = []
        self._told: Counter[str] = Counter()
        self._notes: set[str] = set()
        self._starting = False
        self._zero_s = float("nan")
        self._check_s = 0.0
        self._left_s = 0.0
        self._away_s = 0.0

    # -- what a subclass knows ----------------------------------------------------------------------------------------

    @abstractmethod
    def _begin_life(self, spot: Spot[L], now_s: float) -> None:
        """Order a start and put its life into the spot; returns at once.

        Raises:
            OSError: not now.
        """

    @abstractmethod
    def _strike(self, life: L) -> bool:
        """Kill an instance; False where it has not begun, and so nobody will tell of its end."""

    @abstractmethod
    def _let_go(self, life: L) -> None:
        """Give back what a life that is over had on this side."""

    def _hand_over(self, spot: Spot[L], life: L) -> bool:
        """Give an instance that has nothing in hand its spot's assignment; False where that cannot be.

        It says that it is ready when it is.
        """
        return False

    @abstractmethod
    def _listen(self, until_s: float) -> None:
        """Take in what comes, and check lives when it is time to, until there is an event or the time is over."""

    # -- what every pool of this kind does ----------------------------------------------------------------------------

    def places(self) -> list[tuple[str, int | None]]:
        return [(spot.device, spot.core) for spot in self._instances]

    def begin(self, zero_s: float) -> None:
        self._zero_s = zero_s

    def kill(self, instance: int) -> None:
        life = self._instances[instance].life
        if life is not None and not life.ended:
            life.on_demand = True
            self._kill(self._instances[instance], life, "killed on demand", time.monotonic())

    def poll(self, timeout_s: float) -> list[Event]:
        now_s = time.monotonic()
        if now_s - self._left_s > AWAY_S:
            self._away_s += now_s - self._left_s
        self._listen(now_s + timeout_s)
        events, self._events = self._events, []
        self._left_s = time.monotonic()
        return events

    def _start_all(self) -> None:
        """Have an instance at every spot that does what it is to do, and return when all are ready."""
        self._open = [None] * len(self._instances)
        self._zero_s = float("nan")
        # For who forgets to close.
        atexit.unregister(self.close)
        atexit.register(self.close)
        self._starting = True
        now_s = time.monotonic()
        self._away_s += now_s - self._left_s if self._left_s else 0.0
        self._left_s = now_s
        patience_s = now_s + DRAIN_S
        for spot in self._instances:
            if spot.life is None:
                self._launch(spot, self._left_s)
        while not all(self._open):
            for spot in self._instances:
                if spot.life is not None:
                    self._go_over(spot, spot.life, patience_s)
            self._events.clear()
            self._listen(time.monotonic() + CHECK_S)
        self._starting = False
        self._events.clear()
        self._left_s = time.monotonic()

    def _go_over(self, spot: Spot[L], life: L, patience_s: float) -> None:
        """Let an instance that is there from before do what it is to do now, as soon as it can."""
        if life.assignment is spot.assignment or not life.ready or life.ended or life.reason is not None:
            return
        now_s = time.monotonic()
        if not life.tasks and self._hand_over(spot, life):
            life.assignment = spot.assignment
            life.ready = False
            life.began_s = now_s - self._away_s
        elif not life.tasks or now_s >= patience_s:
            life.on_demand = True
            self._kill(spot, life, "replaced by one that has nothing in hand", now_s)

    def _launch(self, spot: Spot[L], now_s: float) -> None:
        """Begin a life; returns at once."""
        spot.restart_s = float("inf")
        try:
            self._begin_life(spot, now_s)
        except OSError as error:
            if self._starting:
                raise UserError(f"instance {spot.index} cannot start: {error}; see `ulimit -n`") from None
            log.warning("instance %d cannot start at the moment: %s", spot.index, error)
            spot.restart_s = now_s + LONGEST_DELAY_S

    def _is_ready(self, spot: Spot[L], life: L, notes: Sequence[str] = ()) -> None:
        """Take note that an instance is ready, and say once what users should know of it."""
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                log.warning(note)
        life.ready = True
        if life.assignment is not spot.assignment:
            return
        self._open[spot.index] = life
        if not self._starting:
            self._events.append(Up(spot.index))

    def _kill(self, spot: Spot[L], life: L, reason: str, now_s: float) -> None:
        """Kill an instance; somebody tells of its end, and so its life ends."""
        life.reason = life.reason or reason
        life.patience_s = now_s + KILLED_S
        self._open[spot.index] = None
        if not self._strike(life):
            self._end(spot, life, now_s)

    def _end(self, spot: Spot[L], life: L, now_s: float) -> None:
        """Take note that a life is over."""
        self._let_go(life)
        self._open[spot.index] = None
        life.ended = True
        life.patience_s = now_s + EXIT_STATUS_S
        self._check_s = min(self._check_s, life.patience_s)
        self._settle(spot, life, now_s)

    def _settle(self, spot: Spot[L], life: L, now_s: float) -> None:
        """Say that a life is over, once it is known how it ended, and decide what follows."""
        if not life.ended or (life.exit is None and now_s < life.patience_s):
            return
        spot.life = None
        reason = life.reason or life.exit or NOT_KNOWN
        if self._starting and not self._try_again(spot, life):
            names = ", ".join(spot.held)
            raise UserError(f"instance {spot.index} ({names} on {spot.device}) cannot start: {reason}")
        failed = life.placed and not life.on_demand and (not life.ready or len(life.tasks) > 0)
        delay_s = spot.restarts.delay_s(now_s - self._away_s - life.began_s, life.worked, failed)
        if delay_s is None:
            reason = f"given up after {spot.restarts.failures} failures in a row, the last one: {reason}"
            log.warning("instance %d is left out for the rest of the run: %s", spot.index, reason)
            self._events.append(Down(spot.index, reason, final=True, hung=life.hung))
            return
        log.log(self._level(life, reason), "instance %d is down: %s", spot.index, reason)
        if life.ready:
            self._events.append(Down(spot.index, reason, on_demand=life.on_demand, hung=life.hung))
        spot.restart_s = now_s + delay_s
        self._check_s = min(self._check_s, spot.restart_s)
        if delay_s <= 0:
            self._launch(spot, now_s)

    def _level(self, life: L, reason: str) -> int:
        """How loudly the end of a life is told: not again and again what has been told before."""
        if life.on_demand:
            return logging.INFO
        kind = VARYING.sub("#", reason)
        self._told[kind] += 1
        return logging.WARNING if self._told[kind] <= TELL_DEATHS else logging.DEBUG

    def _try_again(self, spot: Spot[L], life: L) -> bool:
        """Whether an instance is given another chance: one that was there before, or that somebody has killed."""
        if life.ready or life.on_demand:
            return True
        killed = life.reason is None and (life.exit or NOT_KNOWN) in (NOT_KNOWN, KILLED)
        return killed and spot.restarts.failures + 1 < self.max_failures

    def _check(self, now_s: float) -> None:
        """Look for what nobody says: silence, long tasks, and times that have come."""
        self._check_s = now_s + CHECK_S
        for spot in self._instances:
            if spot.life is not None:
                self._check_life(spot, spot.life, now_s)
            elif now_s >= spot.restart_s:
                self._launch(spot, now_s)
            else:
                self._check_s = min(self._check_s, spot.restart_s)

    def _check_life(self, spot: Spot[L], life: L, now_s: float) -> None:
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
            if (life.placed or self._starting) and listening_s - life.began_s > self.start_timeout_s:
                hint = "; pool.compile=true takes minutes at the first start" if self.acceleration.compile else ""
                self._kill(spot, life, f"not ready after pool.start_timeout_s={self.start_timeout_s:g}{hint}", now_s)
        elif listening_s - life.heard_s > self.hang_timeout_s:
            life.hung = True
            self._kill(spot, life, f"no sign of life for pool.hang_timeout_s={self.hang_timeout_s:g}", now_s)
        elif life.tasks and listening_s - life.task_since_s > self.task_timeout_s:
            life.hung = True
            self._kill(spot, life, f"one task took longer than pool.task_timeout_s={self.task_timeout_s:g}", now_s)

    def _count_away(self, late_s: float) -> None:
        """Take note that a wait lasted longer than it should have: so long nobody was listening."""
        if late_s > AWAY_S:
            self._away_s += late_s


def held_models(models: Mapping[str, ServedModel], names: Sequence[str]) -> dict[str, HeldModel]:
    """The models of an instance, numbered as tasks name them."""
    shapes = [(name, tuple(models[name].query_shape), tuple(models[name].output_shape)) for name in names]
    return {
        name: HeldModel(number, queries, outputs, 4 * max(prod(queries), prod(outputs)))
        for number, (name, queries, outputs) in enumerate(shapes)
    }


def identity(served: ServedModel) -> str:
    """Differs where the model does: another loader, other shapes, or a checkpoint that was written since."""
    content = pickle.dumps(served)
    if served.checkpoint is not None and Path(served.checkpoint).exists():
        status = Path(served.checkpoint).stat()
        content += f"{status.st_mtime_ns} {status.st_size} {status.st_ino}".encode()
    return hashlib.sha256(content).hexdigest()


def check_pickles(name: str, load: ModelLoader) -> None:
    """Refuse a loader that cannot be sent to another process.

    Raises:
        UserError: with what to do.
    """
    try:
        pickle.dumps(load)
    except Exception as error:
        raise UserError(
            f"model {name}: its loader cannot be sent to an instance ({one_line(str(error))}); make it a function of "
            "a module, or a functools.partial of one"
        ) from None
