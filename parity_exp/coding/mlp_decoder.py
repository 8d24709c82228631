"""A decoder that is a network (Learning a Code, arXiv 1806.01259, section 4)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parity_exp.coding.decoder import Decoder


class MLPDecoder(Decoder):
    """Three fully connected layers ``(k + r) c -> (k + r) c -> k c -> k c`` over all outputs of a group.

    Missing predictions and parity outputs enter as zeros; c is the size of one prediction. The network learns
    every pattern of up to r losses at once.
    """

    def __init__(self, k: int, r: int, output_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__(k, r, output_shape, generator)
        size = math.prod(self.output_shape)
        self.network = nn.Sequential(
            nn.Linear((k + r) * size, (k + r) * size), nn.ReLU(),
            nn.Linear((k + r) * size, k * size), nn.ReLU(),
            nn.Linear(k * size, k * size),
        )  # fmt: skip

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        outputs = torch.cat([predictions.flatten(1), parities.flatten(1)], dim=1)
        decoded: Tensor = self.network(outputs)
        return decoded.view_as(predictions)
