"""A device that captures passes, without a GPU: it shows what becomes of captures and what they are used for."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from parity_exp.recordings.error_text import one_line
from parity_exp.serving.passes.acceleration import Acceleration
from parity_exp.serving.passes.hardware import CaptureError, Hardware, Pass, Replay


class CapturingHardware(Hardware):
    """The CPU as if it captured passes.

    A replay does once more what was done to tensors in the pass that was captured, and calls nothing: what Python did
    then is as it was, and a pass that looks at a number cannot be captured.

    Args:
        fails: sizes whose capture fails.
    """

    captures = True

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        super().__init__(torch.device("cpu"))
        self.fails = fails
        self.captured: list[int] = []
        self.launched: list[int] = []
        self.waits = 0

    def prepare(self, acceleration: Acceleration) -> None:
        self.prepared_for = acceleration

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def pin(self, memory: Tensor) -> Callable[[], None]:
        return lambda: None

    def wait(self) -> None:
        self.waits += 1

    def capture(self, run: Pass, inputs: Tensor) -> Replay:
        size = len(inputs)
        if size in self.fails:
            raise CaptureError("RuntimeError: operation not permitted when stream is capturing")
        with torch.inference_mode(False), torch.no_grad():
            example = torch.zeros(inputs.shape)
            try:
                recorded = make_fx(lambda queries: run(queries))(example)  # a method would be called without its object
            except RuntimeError as error:
                raise CaptureError(one_line(f"RuntimeError: {error}")) from error
        self.captured.append(size)
        outputs = recorded(inputs).clone()

        def launch() -> None:
            self.launched.append(size)
            outputs.copy_(recorded(inputs))

        return Replay(inputs, outputs, launch)
