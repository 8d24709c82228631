"""Encoders that are networks, trained with the rest of the code (Learning a Code, arXiv 1806.01259, section 4).

Both work channel by channel, as in the paper: the same network encodes each colour channel of the group.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from parity_exp.coding.encoder import Encoder
from parity_exp.ranges import Few

MOST_WEIGHTS = 1_000_000_000
"""Weights of an MLP encoder, at most: 4 GB, and training takes four times as much."""


class ConvolutionalEncoder(Encoder):
    """A stack of dilated 3x3 convolutions over the group, then a 1x1 convolution to r parity channels.

    The k queries' channel c are the k input channels. Dilations 1, 1, 2, 4, 8, 1 grow the receptive field
    without shrinking the image.

    Args:
        width: hidden channels per query of the group; the paper's value is 20, for ``20 k`` channels.
        dilations: dilation of each hidden layer.

    Raises:
        ValueError: queries that are not ``(C, H, W)`` images.
    """

    colour = "#117733"

    def __init__(
        self,
        k: int,
        r: int,
        query_shape: Sequence[int],
        generator: Tensor | None = None,
        width: Few = 20,
        dilations: Sequence[Few] = (1, 1, 2, 4, 8, 1),
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        if len(self.query_shape) != 3:
            raise ValueError(
                f"a convolutional encoder needs image queries (C, H, W), not queries of shape {self.query_shape}"
            )
        layers: list[nn.Module] = []
        channels = k
        for dilation in dilations:
            layers += [nn.Conv2d(channels, width * k, 3, padding=dilation, dilation=dilation), nn.ReLU()]
            channels = width * k
        self.network = nn.Sequential(*layers, nn.Conv2d(channels, r, 1))

    def forward(self, prepared: Tensor) -> Tensor:
        return _channel_by_channel(self.network, prepared)


class MLPEncoder(Encoder):
    """Two fully connected layers ``k d -> k d -> r d`` over the flattened channel of d pixels.

    Raises:
        ValueError: queries so large that the layers would fit no memory.
    """

    colour = "#aa4499"

    def __init__(self, k: int, r: int, query_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__(k, r, query_shape, generator)
        self.pixels = self.query_shape[1:] if len(self.query_shape) == 3 else self.query_shape
        size = math.prod(self.pixels)
        weights = (k + r) * k * size**2
        if weights > MOST_WEIGHTS:
            raise ValueError(
                f"an MLP encoder for k={k} queries of {'x'.join(map(str, self.pixels))} would have "
                f"{weights / 1e6:,.0f} million weights; choose the convolutional encoder"
            )
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(k * size, k * size), nn.ReLU(), nn.Linear(k * size, r * size),
            nn.Unflatten(1, (r, *self.pixels)),
        )  # fmt: skip

    def forward(self, prepared: Tensor) -> Tensor:
        if len(self.query_shape) == 3:
            return _channel_by_channel(self.network, prepared)
        encoded: Tensor = self.network(prepared)
        return encoded


def _channel_by_channel(network: nn.Module, queries: Tensor) -> Tensor:
    """Run ``(N, k, H, W) -> (N, r, H, W)`` on every channel of ``(B, k, C, H, W)``, giving ``(B, r, C, H, W)``."""
    batch, _, channels = queries.shape[:3]
    encoded: Tensor = network(queries.transpose(1, 2).flatten(0, 1))
    return encoded.unflatten(0, (batch, channels)).transpose(1, 2)
