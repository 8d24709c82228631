"""GPUs as instances use them: pinned memory, one stream, CUDA graphs."""

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from parity_exp.recordings.error_text import one_line
from parity_exp.serving.passes.acceleration import Acceleration
from parity_exp.serving.passes.hardware import CaptureError, Hardware, Pass, Replay

_PORTABLE = 1
"""Flag of cudaHostRegister: pinned for every context."""


class CudaHardware(Hardware):
    """One GPU.

    Everything runs on one stream, which is not the default one: graphs are captured on it, and what libraries have
    prepared for it when a pass was run is there when the pass is captured.

    Args:
        device: the GPU.
        crowded: there are more processes that wait for GPUs than cores. Waiting then leaves the core to others, which
            takes some ten microseconds; otherwise it is done by looking again and again.
    """

    captures = True

    def __init__(self, device: torch.device, crowded: bool = False) -> None:
        super().__init__(device)
        torch.cuda.set_device(device)
        self._stream = torch.cuda.Stream(device)
        torch.cuda.set_stream(self._stream)
        self._done = torch.cuda.Event(blocking=True) if crowded else None
        self._memory = torch.cuda.graph_pool_handle()
        self._failed: list[torch.cuda.CUDAGraph] = []

    def prepare(self, acceleration: Acceleration) -> None:
        torch.set_float32_matmul_precision("high" if acceleration.tf32 else "highest")
        if not acceleration.tf32:
            torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
            torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = acceleration.cudnn_benchmark

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        try:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        except RuntimeError:  # No more memory may be locked. Copies then take longer, and block.
            self._forget_error()
            return torch.empty(shape, dtype=dtype)

    def pin(self, memory: Tensor) -> Callable[[], None]:
        address = memory.data_ptr()
        library = torch.cuda.cudart()
        if int(library.cudaHostRegister(address, memory.numel() * memory.element_size(), _PORTABLE)) == 0:
            return lambda: self._unpin(address)
        self._forget_error()
        return lambda: None

    def _unpin(self, address: int) -> None:
        self.wait()
        if int(torch.cuda.cudart().cudaHostUnregister(address)) != 0:
            self._forget_error()

    def _forget_error(self) -> None:
        """Have the runtime report what a call of its own has failed with, lest it is taken for the next kernel's."""
        with suppress(RuntimeError):
            torch.zeros(1, device=self.device).add_(1)

    def wait(self) -> None:
        if self._done is None:
            self._stream.synchronize()
        else:
            self._done.record(self._stream)
            self._done.synchronize()

    def capture(self, run: Pass, inputs: Tensor) -> Replay:
        graph = torch.cuda.CUDAGraph()
        try:
            # All graphs of an instance share their memory: one is replayed at a time, and its outputs are copied away.
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
                outputs = run(inputs)
        except Exception as error:
            self._recover(graph)
            # What is raised at the end of a capture only says that it was broken off; why comes before it.
            reason = error.__context__ if isinstance(error.__context__, Exception) else error
            raise CaptureError(one_line(f"{type(reason).__name__}: {reason}".partition("\n")[0])) from error
        return Replay(inputs, outputs, graph.replay)

    def _recover(self, graph: torch.cuda.CUDAGraph) -> None:
        """After a capture that failed, have memory allocated as usual again.

        Up to torch 2.11 the allocator is not told that such a capture is over, and goes on to ask the graph whether it
        is; so the graph has to stay.

        Raises:
            RuntimeError: the device itself has failed.
        """
        self._failed.append(graph)
        with suppress(Exception):
            torch._C._cuda_endAllocateToPool(self.device.index or 0, self._memory)
        self._memory = torch.cuda.graph_pool_handle()
        self._forget_error()
        self.wait()
