"""The layer that transformers here are made of."""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn

Depth = Annotated[int, Ge(0), Le(200)]
Heads = Annotated[int, Ge(1), Le(512)]
HiddenRatio = Annotated[float, Ge(0.25), Le(16)]
Dropout = Annotated[float, Ge(0), Lt(1)]


class TransformerLayer(nn.Module):
    """Attention and a perceptron, each added to what goes in; norms stand before them (Xiong et al., arXiv 2002.04745).

    Args:
        width: numbers in a token.
        heads: of attention; they divide the width.
        mlp_ratio: hidden units of the perceptron, for each number in a token.
        dropout: probability of dropping what a layer adds, in training.

    Shapes: ``(N, n, width) -> (N, n, width)``.

    Raises:
        ValueError: a width that the heads do not divide.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float = 2.0, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} does not divide into heads={heads}")
        hidden = max(1, round(mlp_ratio * width))
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, known: Tensor | None = None) -> Tensor:
        """Run the layer.

        Args:
            tokens: ``(N, n, width)``.
            known: ``(N, n)``, false for tokens that nobody is to look at, such as padding; None: there are none.
        """
        attended = tokens + self.drop(self.mix(self._attention(self.before(tokens), known)))
        return attended + self.drop(self.perceptron(attended))

    def _attention(self, tokens: Tensor, known: Tensor | None) -> Tensor:
        count, length, width = tokens.shape
        split = self.queries_keys_values(tokens).view(count, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mask = None if known is None else known[:, None, None, :]
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(count, length, width)
