"""A small transformer over token ids."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from parity_exp.models.transformer_layer import Depth, Dropout, Heads, HiddenRatio, TransformerLayer
from parity_exp.ranges import Width


class TextTransformer(nn.Module):
    """An encoder with learned positions and a CLS token, for queries of token ids; negative ones are padding.

    Of depth 0 it is a bag of words: the head reads the mean of the tokens.

    Args:
        input_shape: ``(L,)``, ids; or ``(L, width)``, tokens that are embedded already, where zeros are padding.
        outputs: numbers in one prediction.
        vocabulary: ids are below it; None: the commands put in how many the data set has.
        width: numbers in a token.
        depth: layers.
        heads: of attention; they divide the width.
        mlp_ratio: hidden units of a layer's perceptron, for each number in a token.
        dropout: probability of dropping what a layer adds, in training.

    Shapes: ``(B, L) -> (B, outputs)``.

    Raises:
        ValueError: a width that the heads do not divide, queries that are no rows of ids, or no vocabulary.
    """

    convolutional = False
    reads_tokens = True
    sees_places = True

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        vocabulary: Annotated[int, Ge(1), Le(2**24)] | None = None,
        width: Width = 128,
        depth: Depth = 2,
        heads: Heads = 4,
        mlp_ratio: HiddenRatio = 2.0,
        dropout: Dropout = 0.1,
    ) -> None:
        super().__init__()
        shape = tuple(input_shape)
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != width):
            raise ValueError(f"a text transformer needs rows of token ids (L,), not queries of shape {shape}")
        if vocabulary is None:
            raise ValueError(f"queries of shape {shape} are no token ids; choose a data set of texts or set vocabulary")
        self.width = width
        self.words = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.positions = nn.Parameter(torch.empty(shape[0], width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.cls = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(TransformerLayer(width, heads, mlp_ratio, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def embed(self, ids: Tensor) -> Tensor:
        """Tokens of ids, with zeros where there is padding, ``(N, n) -> (N, n, width)``."""
        known = ids >= 0
        tokens: Tensor = self.words(ids.long().clamp(min=0, max=self.words.num_embeddings - 1))
        return tokens * known.unsqueeze(-1)

    def placed(self, tokens: Tensor) -> Tensor:
        """Tokens with their positions, ``(N, n, width) -> (N, n, width)``; n is L or less."""
        return tokens + self.positions[: tokens.shape[1]]

    def read(self, tokens: Tensor, known: Tensor) -> Tensor:
        """Outputs for tokens that have their positions, ``(N, n, width)`` and ``(N, n)`` to ``(N, outputs)``.

        Args:
            tokens: without a CLS token.
            known: false where there is padding.
        """
        if not len(self.layers):
            weights = known.unsqueeze(-1).to(tokens.dtype)
            pooled = (weights * tokens).sum(1) / weights.sum(1).clamp(min=1)
        else:
            tokens = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], 1)
            known = torch.cat([known.new_ones(len(known), 1), known], 1)
            for layer in self.layers:
                tokens = layer(tokens, known)
            pooled = tokens[:, 0]
        outputs: Tensor = self.head(self.norm(pooled))
        return outputs

    def forward(self, queries: Tensor) -> Tensor:
        if queries.dim() == 2:
            return self.read(self.placed(self.embed(queries)), queries >= 0)
        return self.read(self.placed(queries), (queries != 0).any(-1))
