"""Decoding by a formula, and a small network that corrects it from everything that has arrived."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.precision import at_least_single
from parity_exp.ranges import Width


class CorrectedDecoder(Decoder):
    """``reconstruction of another decoder + network(parity outputs, available predictions, what is missing)``.

    The network has one hidden layer, and its last one starts at zero: before training, this is exactly the other
    decoder. It learns every pattern of losses that the other one repairs.

    Args:
        linear: the other decoder, whose targets the parity models' first outputs are trained to equal.
        extra_outputs: numbers that each parity model outputs behind them, which the network alone reads.
        hidden: width of the hidden layer.

    Raises:
        ValueError: a negative number of extra outputs, a hidden layer of no width, or predictions that are not vectors.
    """

    scale: Tensor
    nothing: Tensor

    def __init__(
        self, linear: Decoder, extra_outputs: Annotated[int, Ge(0), Le(2**16)] = 0, hidden: Width = 128
    ) -> None:
        super().__init__(linear.k, linear.r, linear.output_shape, linear.generator)
        if len(self.output_shape) != 1:
            raise ValueError(f"a correction needs predictions that are vectors, not of shape {self.output_shape}")
        if extra_outputs < 0 or hidden < 1:
            raise ValueError(f"extra_outputs={extra_outputs} and hidden={hidden}: expected 0 or more, and 1 or more")
        self.extra_outputs = extra_outputs
        self.linear = linear
        size, wide = self.output_shape[0], linear.parity_outputs + extra_outputs
        self.outputs = nn.Linear(self.r * wide + self.k * size, hidden)
        self.pattern = nn.Linear(self.k + self.r, hidden, bias=False)
        self.last = nn.Linear(hidden, self.k * size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("nothing", torch.zeros(wide), persistent=False)

    def targets(self, predictions: Tensor) -> Tensor:
        return self.linear.targets(predictions)

    def calibrate(self, predictions: Tensor) -> None:
        """Note how large predictions are, so that the network works on numbers around 1."""
        self.scale.fill_(float(predictions.float().square().mean().sqrt().clamp(min=1e-6)))

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        of_linear = parities[..., : self.linear.parity_outputs]
        linear = self.linear.reconstruct(predictions, available, of_linear, parity_available)
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
        of_linear = [None if output is None else output[: self.linear.parity_outputs] for output in parities]
        linear = self.linear.decode_group(predictions, of_linear, place)
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
