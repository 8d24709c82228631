"""Runs one model's passes on its device, captured ones where there are such."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.recordings.error_text import one_line
from parity_exp.serving.passes.acceleration import AUTO, Acceleration
from parity_exp.serving.passes.hardware import CaptureError, Hardware, Replay

WARM_UP_PASSES = 3

ALL_SIZES = 8
"""Up to so many queries every size of a batch is captured, of larger ones so many that few rows run idle."""

TOLERANCES = {torch.float32: 0.01, torch.bfloat16: 0.05, torch.float16: 0.02}
"""By how much a replay may differ from a pass, as a share of the largest number: its algorithms and rounding differ."""


class Passes:
    """One model on one device.

    To be called in inference mode, but not to be made in it.

    Args:
        name: the model, for messages.
        network: in evaluation mode; it is moved to the device.
        query_shape: of one query.
        output_shape: of one prediction.
        batch_size: queries in a pass at most.
        hardware: the device.
        acceleration: how to run it.

    Attributes:
        note: what a user should know about how it runs, in one line, or None.

    Raises:
        UserError: it cannot be run as it has to be.
        ValueError, TypeError: the network gives something else than predictions.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        query_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        batch_size: int,
        hardware: Hardware,
        acceleration: Acceleration,
    ) -> None:
        self.note: str | None = None
        self._hardware = hardware
        self._query_shape, self._output_shape = query_shape, output_shape
        self._on_cpu = hardware.device.type == "cpu" and not hardware.captures
        self._autocast = _autocast(hardware.device, acceleration)
        self._tolerance = TOLERANCES[acceleration.dtype]
        self._memory_format: torch.memory_format | None = None
        network = _lowered(network.to(hardware.device), acceleration.dtype)
        if len(query_shape) == 3 and acceleration.sets_images_apart(network, hardware.device):
            self._memory_format = torch.channels_last
            network = network.to(memory_format=torch.channels_last)
        self._network: Callable[[Tensor], Tensor] = network
        if acceleration.compile:
            self._network = _compiled(network)
        self._answers = hardware.room((batch_size, *output_shape), torch.float32)
        self._replays: list[Replay | None] = [None] * (batch_size + 1)
        capturing = hardware.captures and bool(acceleration.cuda_graphs)
        with torch.inference_mode():
            self._make_ready(name, captured_sizes(batch_size) if capturing else [], acceleration)

    def _make_ready(self, name: str, captured: list[int], acceleration: Acceleration) -> None:
        """Run passes of every size, and capture those of some."""
        batch_size = len(self._replays) - 1
        self._warm_up(captured or [1, batch_size], WARM_UP_PASSES)
        if captured:
            try:
                self._capture(captured)
            except CaptureError as error:
                self._replays = [None] * (batch_size + 1)
                if acceleration.cuda_graphs != AUTO:
                    raise UserError(
                        f"pool.cuda_graphs=true: model {name} cannot be captured ({error}); take pool.cuda_graphs=auto"
                    ) from None
                self.note = (
                    f"model {name} is not captured as CUDA graphs, so that its passes take longer: {error}; "
                    "pool.cuda_graphs=false does not try"
                )
        if acceleration.compile or not self._on_cpu:
            # What libraries and compilers do at the first pass of a size must not happen while queries wait.
            self._warm_up([size for size in range(1, batch_size + 1) if self._replays[size] is None], 1)

    def __call__(self, queries: Tensor, out: Tensor | None = None) -> Tensor:
        """Run a pass; it is over when this returns.

        Args:
            queries: ``(n, *query_shape)``, float32 on the CPU.
            out: where the outputs shall go, ``(n, *output_shape)``, float32 on the CPU.

        Returns:
            The outputs, ``out`` if that is given; on other devices than the CPU they are otherwise good until the next
            pass.
        """
        if self._on_cpu:
            outputs = self._pass(queries).contiguous()
            return outputs if out is None else out.copy_(outputs)
        count = len(queries)
        replay = self._replays[count]
        if replay is None:
            outputs = self._pass(queries.to(self._hardware.device, non_blocking=True))
        else:
            replay.inputs.copy_(queries, non_blocking=True)
            replay.launch()
            outputs = replay.outputs
        into = self._answers[:count] if out is None else out
        into.copy_(outputs, non_blocking=True)
        # The only wait: time that is taken after it is the time of the pass.
        self._hardware.wait()
        return into

    def _pass(self, queries: Tensor) -> Tensor:
        """The network on queries that are on its device, with float32 outputs."""
        if self._memory_format is not None:
            queries = queries.to(memory_format=self._memory_format)
        with self._autocast:
            outputs = self._network(queries)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"the model gave a {type(outputs).__name__}, expected a tensor")
        expected = (len(queries), *self._output_shape)
        if outputs.shape != expected:
            raise ValueError(f"the model gave the shape {tuple(outputs.shape)}, expected {expected}")
        return outputs.to(torch.float32)

    def _warm_up(self, sizes: Iterable[int], passes: int) -> None:
        for size in sorted(set(sizes)):
            for _ in range(passes):
                self(torch.zeros(size, *self._query_shape))

    def _capture(self, sizes: list[int]) -> None:
        """Capture a pass of each size, and see that a replay gives what the pass gives.

        Raises:
            CaptureError: it cannot be captured, or a replay gives something else.
        """
        whole: dict[int, Replay] = {}
        for size in reversed(sizes):  # the largest first: the others then find room in its memory
            inputs = torch.zeros(size, *self._query_shape, device=self._hardware.device)
            whole[size] = self._hardware.capture(self._pass, inputs)
        previous = 0
        for size in sizes:
            if not self._is_good(size, whole[size]):
                raise CaptureError("its outputs depend on more than its input")
            self._replays[size] = whole[size]
            between = range(previous + 1, size)
            # Where what comes beside a query plays a part, these sizes run as they are.
            if between and self._is_good(between[0], whole[size].of(between[0])):
                for count in between:
                    self._replays[count] = whole[size].of(count)
            previous = size

    def _is_good(self, count: int, replay: Replay) -> bool:
        """Whether replays for ``count`` queries give what passes give.

        Raises:
            CaptureError: the network raises an exception on numbers between 0 and 1.
        """
        for seed in range(2):
            queries = torch.rand(count, *self._query_shape, generator=torch.Generator().manual_seed(seed))
            try:
                self._replays[count] = None
                run = self(queries).clone()
                self._replays[count] = replay
                replayed = self(queries).clone()
            except Exception as error:
                self._hardware.wait()  # raises where it is the device that has failed
                raise CaptureError(one_line(f"{type(error).__name__}: {error}")) from error
            finally:
                self._replays[count] = None
            scale = float(run.nan_to_num().abs().max()) if run.numel() else 0.0
            if not torch.allclose(replayed, run, rtol=0.0, atol=self._tolerance * scale, equal_nan=True):
                return False
        return True


def captured_sizes(batch_size: int) -> list[int]:
    """The sizes that are captured for batches of up to ``batch_size`` queries, ascending; others are filled up."""
    sizes = [1]
    while sizes[-1] < batch_size:
        step = 1 if sizes[-1] < ALL_SIZES else max(1, sizes[-1] // ALL_SIZES)
        sizes.append(min(sizes[-1] + step, batch_size))
    return sizes


def _lowered(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network whose convolutions and matrix products keep their weights in the format they work in.

    Autocast then finds nothing to convert in them at every pass. Everything else, such as normalisation, keeps float32.
    """
    if dtype is not torch.float32:
        layers = (nn.Linear, nn.modules.conv._ConvNd)
        for module in network.modules():
            if isinstance(module, layers):
                module.to(dtype)
    return network


def _autocast(device: torch.device, acceleration: Acceleration) -> AbstractContextManager[object]:
    if acceleration.dtype is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, acceleration.dtype, cache_enabled=False)


def _compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    import torch._inductor.config

    # In this process: others would have to be ended with it, and an instance may be killed at any time.
    torch._inductor.config.compile_threads = 1
    compiled: Callable[[Tensor], Tensor] = torch.compile(network)
    return compiled
