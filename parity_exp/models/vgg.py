"""VGG-11 with batch normalisation, for images of any size."""

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from parity_exp.ranges import Width

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions of VGG-11; each stage ends with a pooling."""


class VGG11(nn.Module):
    """VGG-11 with batch norm and one hidden layer in its head, as ParM uses it for speech.

    1x161x101 spectrograms flatten to 7680 features. Poolings that an image is too small for are left out, so that
    28x28 and 16x16 work as well.

    Args:
        input_shape: ``(C, H, W)``.
        outputs: numbers in one prediction.
        hidden: width of the head's hidden layer.
        dropout: probability of dropping a hidden unit of the head.
        width: factor of the number of channels.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.
    """

    convolutional = True
    sees_places = True
    widths = ("width", "hidden")

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        hidden: Width = 512,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
        width: Annotated[float, Gt(0), Le(16)] = 1.0,
    ) -> None:
        super().__init__()
        channels, *sides = input_shape
        layers: list[nn.Module] = []
        for stage in STAGES:
            for whole in stage:
                units = max(1, round(width * whole))
                layers += [nn.Conv2d(channels, units, 3, padding=1), nn.BatchNorm2d(units), nn.ReLU()]
                channels = units
            if min(sides) >= 2:
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * math.prod(sides), hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )  # fmt: skip

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(queries))
        return outputs
