"""Addition for texts: the frontend embeds token ids, and adds embeddings."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity_exp.coding.addition import AdditionEncoder
from parity_exp.coding.encoder import Encoder
from parity_exp.coding.position_codes import PositionCode


class EmbeddingAdditionEncoder(Encoder):
    """``P_j = sum_i c[j, i] s_i E(X_i)``: ParM's addition, in the space of the base model's embeddings.

    Sums of token ids have no meaning, those of their embeddings may have one. So the frontend has a copy of the base
    model's embeddings, and a parity query is as large as L tokens of the base model: for 384 numbers in a token, 384
    times a query. It is here to be compared with.

    Args:
        k: queries in a coding group.
        r: parity queries of a group.
        query_shape: ``(L,)``.
        generator: generator matrix ``(r, k)``; a row of ones when it is left out, which needs r = 1.
        position_code: gives the ``s_i``, for queries of shape ``(L, width)``.
        vocabulary: ids are below it.
        width: numbers in the embedding of a token.
    """

    table: Tensor

    colour = "#332288"

    def __init__(
        self,
        k: int,
        r: int,
        query_shape: Sequence[int],
        generator: Tensor | None = None,
        position_code: PositionCode | None = None,
        vocabulary: int = 1,
        width: int = 1,
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        if len(self.query_shape) != 1:
            raise ValueError(f"token ids come in rows (L,), not in queries of shape {self.query_shape}")
        self.parity_shape = (self.query_shape[0], width)
        # Kept with the weights: parity models are of use with the very embeddings that they were trained with.
        self.register_buffer("table", torch.zeros(vocabulary, width))
        self.sum = AdditionEncoder(k, r, self.parity_shape, generator, position_code)

    def see(self, base: nn.Module) -> None:
        """Take the base model's embeddings.

        Raises:
            ValueError: it has none, or of another size.
        """
        words = getattr(base, "words", None)
        if not isinstance(words, nn.Embedding) or words.weight.shape != self.table.shape:
            raise ValueError(
                f"{type(base).__name__} has no embeddings `words` of shape {tuple(self.table.shape)}, which adding "
                "them needs; choose encoder=concat"
            )
        with torch.no_grad():
            self.table.copy_(words.weight)

    def forward(self, prepared: Tensor) -> Tensor:
        known = (prepared >= 0).unsqueeze(-1)
        embedded = F.embedding(prepared.long().clamp(0, len(self.table) - 1), self.table)
        parities: Tensor = self.sum(embedded * known)
        return parities


EmbeddingAdditionEncoder.of_tokens = EmbeddingAdditionEncoder
AdditionEncoder.of_tokens = EmbeddingAdditionEncoder
