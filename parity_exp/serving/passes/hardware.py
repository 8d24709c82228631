"""What running a model needs of a device: memory for copies that do not block, waiting, and captured passes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from parity_exp.serving.passes.acceleration import Acceleration

Pass = Callable[[Tensor], Tensor]
"""``(n, *query_shape)`` to ``(n, *output_shape)``, float32, both on the device."""


class CaptureError(Exception):
    """A pass cannot be captured; the device works as before. The text is the reason, in one line."""


@dataclass(frozen=True)
class Replay:
    """A captured pass, of as many queries as its tensors have rows, or of more.

    Attributes:
        inputs: where its queries have to be, ``(size, *query_shape)`` on the device.
        outputs: where its outputs are after a replay, ``(size, *output_shape)`` on the device, until the next replay of
            any pass of the same device.
        launch: runs it; returns at once.
    """

    inputs: Tensor
    outputs: Tensor
    launch: Callable[[], None]

    def of(self, count: int) -> "Replay":
        """The same pass for fewer queries; the other rows run idle."""
        return Replay(self.inputs[:count], self.outputs[:count], self.launch)


class Hardware(ABC):
    """A device as an instance uses it, from one thread.

    Attributes:
        device: which.
        captures: it can capture passes.
    """

    captures: bool = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def prepare(self, acceleration: Acceleration) -> None:
        """Make this process and the calling thread ready to use it as they are told to."""

    @abstractmethod
    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of this machine that the device copies from and to without blocking, as far as there is such."""

    @abstractmethod
    def pin(self, memory: Tensor) -> Callable[[], None]:
        """Make memory that is there already such, if that can be; returns what undoes it."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until the device has done what it was told to."""

    def capture(self, run: Pass, inputs: Tensor) -> Replay:
        """Capture a pass over ``inputs``, which has been run before.

        Raises:
            CaptureError: it cannot be captured.
        """
        raise CaptureError(f"{self.device.type} devices capture nothing")


class PlainHardware(Hardware):
    """The CPU, or any device of torch that only its tensors' own methods are used of."""

    def prepare(self, acceleration: Acceleration) -> None:
        pass

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def pin(self, memory: Tensor) -> Callable[[], None]:
        return _nothing

    def wait(self) -> None:
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize(self.device)


def _nothing() -> None:
    pass
