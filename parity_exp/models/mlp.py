"""Multilayer perceptron over the flattened query."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from parity_exp.ranges import Width


class MLP(nn.Module):
    """Fully connected layers with ReLU between them, for queries of any shape.

    The default hidden widths are ParM's base-mlp (784-200-100-10 on Fashion-MNIST). Without hidden layers it is
    logistic regression, the base model of Learning a Code.

    Args:
        input_shape: shape of one query.
        outputs: numbers in one prediction.
        hidden: widths of the hidden layers.

    Shapes: ``(B, *input_shape) -> (B, outputs)``.
    """

    convolutional = False
    reads_tokens = False
    widths = ("hidden",)

    def __init__(self, input_shape: Sequence[int], outputs: int, hidden: Sequence[Width] = (200, 100)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        width = math.prod(input_shape)
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU()]
            width = units
        layers.append(nn.Linear(width, outputs))
        self.layers = nn.Sequential(*layers)

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.layers(queries)
        return outputs
