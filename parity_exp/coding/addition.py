"""Addition encoder: a parity query is a weighted sum of the group's queries (ParM, section 3.2)."""

import torch
from torch import Tensor

from parity_exp.coding.encoder import Encoder


class AdditionEncoder(Encoder):
    """``P_j = sum_i c[j, i] X_i``: works for queries of any shape, and any k and r.

    Example:
        >>> encoder = AdditionEncoder(k=2, r=1, query_shape=(1, 2, 2))
        >>> encoder.encode(torch.ones(8, 2, 1, 2, 2)).shape
        torch.Size([8, 1, 1, 2, 2])
    """

    def forward(self, prepared: Tensor) -> Tensor:
        if self.r == 1:
            # The generators' first row is all ones; the plain sum is several times faster than a product.
            return prepared.sum(dim=1, keepdim=True)
        return torch.einsum("rk,bk...->br...", self.generator.to(prepared.dtype), prepared)
