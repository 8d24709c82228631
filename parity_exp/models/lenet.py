"""LeNet-style network of ParM's evaluation."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Len
from torch import Tensor, nn

from parity_exp.ranges import Width


class LeNet(nn.Module):
    """Two 5x5 convolutions, each with ReLU and 2x2 max pooling, then two fully connected layers.

    With the default widths, 1x161x101 spectrograms flatten to 16280 features, as in ParM's speech network.

    Args:
        input_shape: ``(C, H, W)``, at least 16x16.
        outputs: numbers in one prediction.
        channels: channels of the two convolutions.
        hidden: width of the hidden fully connected layer.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.

    Raises:
        ValueError: images too small for two convolutions and poolings.
    """

    convolutional = True

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Annotated[Sequence[Width], Len(2, 2)] = (20, 20),
        hidden: Width = 1000,
    ) -> None:
        super().__init__()
        depth, height, width = input_shape
        final_height, final_width = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        if min(final_height, final_width) < 1:
            raise ValueError(f"LeNet needs images of at least 16x16, not {height}x{width}")
        self.features = nn.Sequential(
            nn.Conv2d(depth, channels[0], 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(channels[0], channels[1], 5), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[1] * final_height * final_width, hidden), nn.ReLU(),
            nn.Linear(hidden, outputs),
        )  # fmt: skip

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(queries))
        return outputs
