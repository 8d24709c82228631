"""Addition encoder: a parity query is a weighted sum of the group's queries (ParM, section 3.2)."""

from collections.abc import Sequence
from functools import cached_property

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

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        if row == 0 and self._first_row_is_ones:
            torch.add(queries[0], queries[1], out=out)
        else:
            weights = self._weights[row]
            torch.mul(queries[0], weights[0], out=out).add_(queries[1], alpha=weights[1])
        for place in range(2, self.k):
            out.add_(queries[place], alpha=self._weights[row][place])

    @cached_property
    def _weights(self) -> list[list[float]]:
        weights: list[list[float]] = self.generator.tolist()
        return weights

    @cached_property
    def _first_row_is_ones(self) -> bool:
        return all(weight == 1 for weight in self._weights[0])
