"""Residual decoder: linear decoding, and a small network that corrects it from what parity models say beside it."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.precision import at_least_single
from parity_exp.coding.subtraction import SubtractionDecoder
from parity_exp.ranges import Width

EXTRA_OUTPUTS = 64


class ResidualDecoder(Decoder):
    """``linear reconstruction + network(parity outputs, available predictions, what is missing)``.

    The sum of k predictions is little to go by: what a parity model saw of a query and could not express in it is
    lost. So it has some more outputs, free for whatever helps, and a network with one hidden layer reads them together
    with everything else that has arrived. Its last layer starts at zero: before training, this is exactly
    :class:`SubtractionDecoder`. It learns every pattern of up to r losses at once.

    Args:
        extra_outputs: numbers that each parity model outputs beside those that are decoded linearly; None:
            :data:`EXTRA_OUTPUTS`.
        hidden: width of the hidden layer.

    Raises:
        ValueError: a negative number of extra outputs, a hidden layer of no width, or predictions that are not vectors.
    """

    scale: Tensor
    nothing: Tensor

    def __init__(
        self,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        extra_outputs: Annotated[int, Ge(0), Le(2**16)] | None = None,
        hidden: Width = 128,
    ) -> None:
        super().__init__(k, r, output_shape, generator)
        if len(self.output_shape) != 1:
            raise ValueError(f"a residual decoder needs predictions that are vectors, not of shape {self.output_shape}")
        if extra_outputs is None:
            extra_outputs = EXTRA_OUTPUTS
        if extra_outputs < 0 or hidden < 1:
            raise ValueError(f"extra_outputs={extra_outputs} and hidden={hidden}: expected 0 or more, and 1 or more")
        self.extra_outputs = extra_outputs
        self.linear = SubtractionDecoder(k, r, output_shape, generator)
        size = self.output_shape[0]
        wide = size + extra_outputs
        self.outputs = nn.Linear(r * wide + k * size, hidden)
        self.pattern = nn.Linear(k + r, hidden, bias=False)
        self.last = nn.Linear(hidden, k * size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("nothing", torch.zeros(wide), persistent=False)

    def calibrate(self, predictions: Tensor) -> None:
        """Note how large predictions are, so that the network works on numbers around 1."""
        self.scale.fill_(float(predictions.float().square().mean().sqrt().clamp(min=1e-6)))

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        size = self.output_shape[0]
        linear = self.linear.reconstruct(predictions, available, parities[..., :size], parity_available)
        outputs = torch.cat([parities.flatten(1), predictions.flatten(1)], dim=1) / self.scale
        pattern = torch.cat([available, parity_available], dim=1).to(outputs.dtype)
        offset = F.linear(pattern, self.pattern.weight, self.outputs.bias)
        hidden = torch.relu(torch.addmm(offset, outputs, self.outputs.weight.t()))
        return torch.addcmul(linear, self.scale, self.last(hidden).view_as(predictions))

    @torch.inference_mode()
    def decode_group(
        self, predictions: Sequence[Tensor | None], parities: Sequence[Tensor | None], place: int
    ) -> Tensor:
        size, scale = self.output_shape[0], float(self.scale)
        predictions, parities = (
            [output if output is None else at_least_single(output) for output in outputs]
            for outputs in (predictions, parities)
        )
        sums = [None if output is None else output[:size] for output in parities]
        linear = self.linear.decode_group(predictions, sums, place)
        nothing = self.nothing
        outputs = torch.cat(
            [nothing if output is None else output for output in parities]
            + [nothing[:size] if output is None else output for output in predictions]
        )
        arrived = [output is not None for output in (*predictions, *parities)]
        there = torch.tensor(arrived, dtype=outputs.dtype, device=outputs.device)
        offset = torch.addmv(self.outputs.bias, self.pattern.weight, there)
        hidden = torch.addmv(offset, self.outputs.weight, outputs, alpha=1 / scale).relu_()
        rows = slice(place * size, (place + 1) * size)
        correction = torch.addmv(self.last.bias[rows], self.last.weight[rows], hidden)
        return linear.add(correction, alpha=scale)
