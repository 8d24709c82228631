"""What runs in an instance's Ray actor, and what else has to happen on its machine.

Rules:

* Models are loaded and tasks are worked at in one thread, in the order in which they came; :meth:`RayInstance.beat`
  runs in another one, and tells a long task from an actor that hangs.
* What comes and goes are plain numbers and bytes, so that Ray need not pickle anything of ours in a task.
"""

import os
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.trace import Disturbance
from parity_exp.process.kernel import sleep_exactly
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.passes.losses import loss
from parity_exp.serving.worker import Assignment, Worker, text_of

CONTROL = "control"
"""The concurrency group of methods that answer also while a task runs."""

INLINE_BYTES = 64 * 1024
"""Numbers that take more go as an array, which Ray puts into shared memory without a copy of its own."""


@dataclass(frozen=True)
class Whereabouts:
    """Where an actor runs.

    Attributes:
        node: Ray's name of the node.
        boot: names the machine and its start; processes with the same one share ``time.monotonic()``.
        pid: its process.
        device: ``cpu``, or the GPU that Ray has given it, as the node calls it.
    """

    node: str
    boot: str
    pid: int
    device: str


@dataclass(frozen=True)
class Loaded:
    """What became of loading models.

    Attributes:
        complaint: what went wrong, in one line; None: nothing.
        notes: what users should know, a line each.
    """

    complaint: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """In the place of an answer: the instance's device is lost, and the instance with it.

    Attributes:
        reason: in one line.
    """

    reason: str


class RayInstance:
    """One instance."""

    def __init__(self) -> None:
        self._assignment: Assignment | None = None
        self._worker: Worker | None = None

    def whereabouts(self) -> Whereabouts:
        """Where this is."""
        import ray  # the rest of this file has no need of it, and pools without it may import this file

        context = ray.get_runtime_context()
        gpus = ray.get_gpu_ids()
        return Whereabouts(context.get_node_id(), boot(), os.getpid(), f"cuda:{gpus[0]}" if gpus else "cpu")

    def load(self, assignment: bytes, *contents: np.ndarray | None) -> Loaded:
        """Load the models.

        Args:
            assignment: a pickled :class:`Assignment`. It is unpickled here, where a failure can be reported.
            contents: for each model the bytes of its checkpoint, where it has one.
        """
        try:
            sleep_exactly()
            self._assignment = pickle.loads(assignment)
            views = [None if content is None else content.data for content in contents]
            self._worker = Worker(self._assignment, views)
        except Exception as error:
            device = self._assignment.device if self._assignment is not None else "cpu"
            return Loaded(loss(error, device) or text_of(error))
        return Loaded(None, tuple(self._worker.notes))

    def work(
        self, model: int, count: int, zero_s: float, numbers: bytes | np.ndarray
    ) -> tuple[float, float, bytes | np.ndarray, bool] | str | Lost:
        """Do a task.

        Args:
            model: which of the models.
            count: queries.
            zero_s: when the timeline begins, in this machine's ``time.monotonic()``; NaN for not yet.
            numbers: the queries, float32.

        Returns:
            When it began and when it was done, in this machine's ``time.monotonic()``, the outputs, float32, and
            whether a fault has spoilt them; or, of a model that raises, what it says in one line; or that the device is
            lost.
        """
        started_s = time.monotonic()
        assert self._assignment is not None and self._worker is not None
        try:
            shape = (count, *self._assignment.models[model].query_shape)
            # A copy, since a model may write into its input, and this memory is not ours.
            queries = torch.from_numpy(np.frombuffer(numbers, np.float32).reshape(shape).copy())
            with torch.inference_mode():
                outputs, corrupted = self._worker.work(model, queries, started_s, zero_s)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever a model raises
            lost = self._worker.loss(error)
            return text_of(error) if lost is None else Lost(lost)
        return started_s, time.monotonic(), payload(outputs.numpy()), corrupted

    def beat(self) -> float:
        """A sign of life: this machine's ``time.monotonic()``."""
        return time.monotonic()


class RayHands:
    """Runs what disturbs the instances of one node: its processes run beside them, on their devices.

    Args:
        rows: the trace, as far as it takes processes on this node.
        devices: for each instance of the pool its device; those of other nodes do not matter.
        helpers: for each kind of row what the process does.
        seed: of what processes draw at random.
    """

    def __init__(
        self, rows: Sequence[Disturbance], devices: Sequence[str], helpers: Mapping[str, Helper], seed: int
    ) -> None:
        # Ray shows an actor no GPU but its own; processes beside other actors are to see theirs.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        self._disturber = Disturber(rows, devices, [None] * len(devices), _nobody, helpers, seed)

    def start(self) -> str | None:
        """Start the processes; what went wrong in one line, or None."""
        try:
            self._disturber.start()
        except Exception as error:
            return text_of(error)
        return None

    def begin(self, in_s: float) -> None:
        """The run begins in so many seconds."""
        self._disturber.begin(time.monotonic() + in_s)

    def failures(self) -> list[str]:
        """What has gone wrong with processes so far."""
        self._disturber.tick(time.monotonic())
        return self._disturber.failures

    def close(self) -> None:
        """End the processes."""
        self._disturber.close()


def payload(numbers: np.ndarray) -> bytes | np.ndarray:
    """Numbers in the form that Ray carries fastest."""
    return numbers.tobytes() if numbers.nbytes <= INLINE_BYTES else np.ascontiguousarray(numbers)


def boot() -> str:
    """Names this machine and its start, as far as the clock is concerned."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{kernel} {Path('/proc/self/ns/time').readlink()}"


def _nobody(instance: int) -> None:
    raise AssertionError(f"instance {instance} is the frontend's to kill")
