"""What somebody may have written outside the package: a network, an encoder, and an objective."""

from typing import Any

import torch
from torch import Tensor, nn

from parity_exp.coding import Encoder
from parity_exp.training import CodedBatch, Objective


class Net(nn.Module):
    """A network of its own making, which keeps no note of what it was made of."""

    def __init__(self, input_shape: tuple[int, ...] = (1, 4, 4), outputs: int = 3, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(torch.Size(input_shape).numel(), width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, queries: Tensor) -> Tensor:
        output: Tensor = self.layers(queries)
        return output


class Difference(Encoder):
    """The first query less the second."""

    def __init__(self, factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def forward(self, prepared: Tensor) -> Tensor:
        return (self.factor * (prepared[:, 0] - prepared[:, 1])).unsqueeze(1)


class Absolute(Objective):
    """Mean absolute error of parity outputs."""

    def __call__(self, batch: CodedBatch) -> Tensor:
        return (batch.linear_parities - batch.targets).abs().mean()
