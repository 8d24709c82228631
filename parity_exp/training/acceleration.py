"""How training uses a GPU: everything here is about speed, and on a processor nothing of it applies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parity_exp.training.step_graphs import CudaRecorder, Recorder

deterministic: Any = torch.utils.deterministic  # it makes itself of another type than its file says


@dataclass(frozen=True)
class Acceleration:
    """What of a GPU's means training uses.

    Attributes:
        cuda_graphs: record training steps as CUDA graphs and replay them.
        tf32: multiply float32 matrices, and convolve, with the 10 bits of mantissa that tensor cores take. Evaluation
            and serving are not concerned.
        channels_last: keep the weights of convolutions with channels as the last dimension, as tensor cores want them.
    """

    cuda_graphs: bool = True
    tf32: bool = True
    channels_last: bool = True

    def recorder(self, device: torch.device) -> Recorder | None:
        """What records steps on this device; None where they are not recorded."""
        return CudaRecorder(device) if self.cuda_graphs and device.type == "cuda" else None

    @contextmanager
    def applied(self, module: nn.Module, device: torch.device) -> Iterator[None]:
        """Train the module inside this block; libraries are set as they were afterwards, the weights' layout stays."""
        precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        fills = deterministic.fill_uninitialized_memory
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = self.tf32
            if self.channels_last and any(isinstance(part, nn.Conv2d) for part in module.modules()):
                module.to(memory_format=torch.channels_last)
        # With deterministic algorithms torch also writes to all memory that it takes, a second kernel for each; no
        # operation of ours reads what it has not written.
        deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            deterministic.fill_uninitialized_memory = fills
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = convolutions
