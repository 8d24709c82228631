"""LeNet-style network of ParM's evaluation."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Le, Len
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.ranges import Width

Padding = Annotated[int, Ge(0), Le(2)]


class LeNet(nn.Module):
    """Two 5x5 convolutions, each with ReLU and 2x2 max pooling, then two fully connected layers.

    With the default widths, 1x161x101 spectrograms flatten to 16280 features, as in ParM's speech network.

    Args:
        input_shape: ``(C, H, W)``, at least 16x16.
        outputs: numbers in one prediction.
        channels: channels of the two convolutions.
        hidden: width of the hidden fully connected layer.
        padding: rows and columns of zeros on each side of what a convolution sees, upright and across; where there
            are some, poolings round up, so that small images keep as much of their detail as there is.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.

    Raises:
        ValueError: images too small for two convolutions and poolings.
    """

    convolutional = True
    sees_places = True
    widths = ("channels", "hidden")

    @staticmethod
    def cell_settings(grid: Grid) -> dict[str, tuple[int, int]]:
        """Settings for places of a parity query: zeros along the sides that are cut, which cost what is cut away."""
        return {"padding": (int(grid.rows > 1), int(grid.columns > 1))}

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Annotated[Sequence[Width], Len(2, 2)] = (20, 20),
        hidden: Width = 1000,
        padding: Annotated[Sequence[Padding], Len(2, 2)] = (0, 0),
    ) -> None:
        super().__init__()
        depth, height, width = input_shape
        around, ceil = (padding[0], padding[1]), any(padding)

        def halved(side: int, zeros: int) -> int:
            """A side after a convolution and a pooling."""
            convolved = side + 2 * zeros - 4
            return -(-convolved // 2) if ceil else convolved // 2

        final_height, final_width = (
            halved(halved(side, zeros), zeros) for side, zeros in zip((height, width), around, strict=True)
        )
        if min(final_height, final_width) < 1:
            raise ValueError(f"LeNet needs images of at least 16x16, not {height}x{width}")
        self.features = nn.Sequential(
            nn.Conv2d(depth, channels[0], 5, padding=around), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=ceil),
            nn.Conv2d(channels[0], channels[1], 5, padding=around), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=ceil),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[1] * final_height * final_width, hidden), nn.ReLU(),
            nn.Linear(hidden, outputs),
        )  # fmt: skip

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(queries))
        return outputs
