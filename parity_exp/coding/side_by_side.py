"""Queries of token ids side by side: a concatenation from which nothing is lost."""

from collections.abc import Sequence

import torch
from torch import Tensor

from parity_exp.coding.encoder import Encoder
from parity_exp.coding.token_grid import TokenGrid
from parity_exp.coding.views import Views


class SideBySideEncoder(Encoder):
    """Lays the token ids of the k queries one after the other, ``(B, k, L) -> (B, r, k * L)``.

    Sums and means of ids have no meaning, so that nothing is shrunk here: an id is four bytes, and a parity query of
    k texts is no larger than a small image. The parity model embeds all of them and merges embeddings, so that it
    calculates with as many tokens as the base model (:mod:`parity_exp.models.token_places`).

    With r > 1 every parity model sees the same parity query.

    Args:
        views: ``same``; a text has no other.

    Raises:
        ValueError: queries that are no rows of ids, fewer than two tokens for each place, or other views.
    """

    keeps_queries_apart = True
    colour = "#cc6677"

    def __init__(
        self, k: int, r: int, query_shape: Sequence[int], generator: Tensor | None = None, views: Views = "same"
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        if views != "same":
            raise ValueError(f"views={views}: a text can be neither mirrored nor moved; take views=same")
        if len(self.query_shape) != 1:
            raise ValueError(f"token ids come in rows (L,), not in queries of shape {self.query_shape}")
        length = self.query_shape[0]
        if length < 2 * k:
            raise ValueError(
                f"queries of {length} tokens leave less than two for each of the k={k} places; set dataset.max_length "
                f"to {2 * k} or more"
            )
        self.grid = TokenGrid(k, length)
        self.parity_shape = (k * length,)

    def forward(self, prepared: Tensor) -> Tensor:
        return prepared.flatten(1).unsqueeze(1).expand(-1, self.r, -1)

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        torch.cat(list(queries), out=out)


SideBySideEncoder.of_tokens = SideBySideEncoder
