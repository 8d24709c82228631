"""What every pool of instances is: it runs models where it is told to, and says what happened.

A pool decides nothing. It takes a task for an instance, and reports results, failures, and instances that come and
go as events. Everything that waits waits in :meth:`Pool.poll`, for as long as the caller allows.

All times are seconds of ``time.monotonic()``, which the processes of one machine share.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from parity_exp.checks import Checked
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import Disturbance
from parity_exp.serving.disturber import Disturber

ModelLoader = Callable[..., nn.Module]
"""Makes a network with its weights; can be pickled, and is called in the instance's process, without arguments.

The network is the instance's, which moves it to its device.
"""


@dataclass(frozen=True)
class ServedModel:
    """A model that instances can hold.

    Attributes:
        load: makes the network.
        query_shape: shape of one query it takes.
        output_shape: shape of one prediction it gives.
        checkpoint: the file that ``load`` reads, if it reads one. On machines that do not have the file, ``load`` is
            called with what is in it, as the argument ``content``.
    """

    load: ModelLoader
    query_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    checkpoint: str | None = None

    def network(self, content: bytes | memoryview | None = None) -> nn.Module:
        """Make the network; ``content`` is what is in its checkpoint, where that is not to be read from the file."""
        return self.load() if content is None else self.load(content=content)


@dataclass(frozen=True, slots=True)
class Finished:
    """A task is done.

    Attributes:
        instance: who did it.
        task: the number it was sent with.
        outputs: ``(n, *output_shape)``, float32 on the CPU; the receiver's to keep.
        started_s: when the instance began with it.
        finished_s: when the instance sent the outputs, injected delays included.
        corrupted: the outputs were spoilt on purpose, by a fault of the instance's timeline.
    """

    instance: int
    task: int
    outputs: Tensor
    started_s: float
    finished_s: float
    corrupted: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """A model raised an exception on a task; the instance lives on."""

    instance: int
    task: int
    error: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """An instance has stopped at a task, as it was told; there are no outputs."""

    instance: int
    task: int
    started_s: float
    finished_s: float


@dataclass(frozen=True, slots=True)
class Down:
    """An instance died, or hung and was killed; every task it had is gone.

    Attributes:
        instance: which.
        reason: one line for people.
        final: it failed so often that it is left out for the rest of the run.
        on_demand: somebody wanted it.
        hung: it was killed because it said nothing, or ended no task, for too long.
    """

    instance: int
    reason: str
    final: bool = False
    on_demand: bool = field(default=False, compare=False)
    hung: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Up:
    """A restarted instance is ready again."""

    instance: int


Event = Finished | Raised | Stopped | Down | Up


class Instances(ABC):
    """Instances as a frontend has them: tasks go in, events come out.

    Attributes:
        prefetch: tasks that an instance may hold at a time, the one it works at included; :meth:`send` refuses more.
    """

    prefetch: int = 1

    interrupts: bool = False
    """Whether instances can be told to stop at a task that they have."""

    @abstractmethod
    def begin(self, zero_s: float) -> None:
        """Say at which time the timelines begin; until then nothing is injected."""

    @abstractmethod
    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        """Give an instance a task, ``queries`` of shape ``(n, *query_shape)`` on the CPU.

        Returns:
            False when the instance cannot take it now (its buffers are full, or it is down): the caller keeps it.
        """

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Event]:
        """What has happened, in order; waits for the first event for at most ``timeout_s``.

        Never raises for what instances do; a timeout of 0 returns at once.
        """

    def interrupt(self, instance: int, task: int) -> None:  # noqa: B027
        """Tell an instance to stop at a task, where ``interrupts`` says that it can; it may be done before it hears."""


class Pool(Checked, Instances):
    """Base class of pools.

    Calls come in this order: :meth:`check`, which may be left out; :meth:`start`; any of the others; :meth:`close`,
    which may come at any time and more than once.
    """

    service_time_ms: float = 0.0
    """A task takes at least that long."""

    task_timeout_s: float = 0.0
    """A task that takes longer is ended with its instance; 0: none is."""

    def check(self, instances: int) -> None:
        """Refuse settings that cannot work for so many instances, as far as that is known before anything starts.

        Raises:
            SettingError: which setting, and why.
            UserError: something else has to be there.
        """

    @abstractmethod
    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        """Start instances, and return when all of them have their models loaded and warmed up.

        Args:
            models: by name.
            held: for each instance the names of the models it holds; instance i is ``held[i]``.
            batch_size: queries in a task at most.
            timelines: for each instance what delays and faults to inject into its tasks.

        Raises:
            UserError: an instance cannot start; with that instance's own error text.
        """

    @abstractmethod
    def places(self) -> list[tuple[str, int | None]]:
        """For each instance its device, and the core it is kept on or None."""

    def cores(self) -> int | None:
        """Cores that all instances have together; None where that is not known."""
        return None

    def bell(self) -> int | None:
        """A descriptor that is readable while :meth:`poll` may have something to tell; None: there is none.

        Even where it is not readable, a pool that runs wants to be polled every 0.1 s.
        """
        return None

    @abstractmethod
    def kill(self, instance: int) -> None:
        """Kill an instance without warning (SIGKILL), as a straggler model's crash does; it is restarted."""

    def disturber(self, rows: Iterable[Disturbance], helpers: Mapping[str, Helper], seed: int) -> Disturber:
        """Who carries out a straggler trace on this pool's instances; to be made after the start.

        Args:
            rows: the trace.
            helpers: for each kind of row that takes a process, what the process does.
            seed: of what processes draw at random.
        """
        devices, cores = zip(*self.places(), strict=True)
        return Disturber(rows, devices, cores, self.kill, helpers, seed)

    @abstractmethod
    def close(self) -> None:
        """End all instances; when it returns no process is left. Bounded in time."""
