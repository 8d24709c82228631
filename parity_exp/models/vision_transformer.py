"""A small vision transformer, for images of any shape."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn

from parity_exp.ranges import Side, Width

Layers = Annotated[int, Ge(1), Le(200)]
Heads = Annotated[int, Ge(1), Le(512)]


class VisionTransformer(nn.Module):
    """A vision transformer (Dosovitskiy et al., arXiv 2010.11929) with learned positions and a CLS token.

    Norms stand before attention and before the two layers after it, and at the end. An image whose sides are no
    multiples of a patch's gets zeros around it.

    Args:
        input_shape: ``(C, H, W)``.
        outputs: numbers in one prediction.
        patch: pixels of a patch's side.
        width: numbers in a token.
        depth: layers.
        heads: of attention; they divide the width.
        mlp_ratio: hidden units of a layer's perceptron, for each number in a token.
        dropout: probability of dropping what a layer adds, in training.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.

    Raises:
        ValueError: a width that the heads do not divide, or queries that are not images.
    """

    convolutional = False
    sees_places = True

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        patch: Side = 4,
        width: Width = 64,
        depth: Layers = 4,
        heads: Heads = 4,
        mlp_ratio: Annotated[float, Ge(0.25), Le(16)] = 2.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(f"a vision transformer needs images (C, H, W), not queries of shape {tuple(input_shape)}")
        if width % heads:
            raise ValueError(f"width={width} does not divide into {heads} heads")
        channels, height, image_width = input_shape
        self.patch = patch
        rows, columns = -(-height // patch), -(-image_width // patch)
        missing = rows * patch - height, columns * patch - image_width
        self.around = (missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2)
        self.tokens = (rows, columns)
        self.project = nn.Linear(channels * patch * patch, width)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + rows * columns, width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.layers = nn.Sequential(*(TransformerLayer(width, heads, mlp_ratio, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def embed(self, images: Tensor) -> Tensor:
        """A token for each patch, without its position, ``(N, C, H, W) -> (N, rows * columns, width)``."""
        if any(self.around):
            images = F.pad(images, self.around)
        count, channels, height, width = images.shape
        side = self.patch
        cut = images.reshape(count, channels, height // side, side, width // side, side)
        return self.project(cut.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * side * side))

    def read(self, tokens: Tensor) -> Tensor:
        """Outputs for tokens that have their positions, the CLS token first, ``(N, n, width) -> (N, outputs)``."""
        outputs: Tensor = self.head(self.norm(self.layers(tokens)[:, 0]))
        return outputs

    def forward(self, queries: Tensor) -> Tensor:
        tokens = self.embed(queries)
        return self.read(torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], 1) + self.positions)


class TransformerLayer(nn.Module):
    """Attention and a perceptron, each added to what goes in, ``(N, n, width) -> (N, n, width)``."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = max(1, round(mlp_ratio * width))
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        attended = tokens + self.drop(self.mix(self._attention(self.before(tokens))))
        return attended + self.drop(self.perceptron(attended))

    def _attention(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        split = self.queries_keys_values(tokens).view(count, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).reshape(count, length, width)
