"""Addition encoder: a parity query is a weighted sum of the group's queries (ParM, section 3.2)."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from parity_exp.coding.encoder import Encoder
from parity_exp.coding.position_codes import NoPositionCode, PositionCode


class AdditionEncoder(Encoder):
    """``P_j = sum_i c[j, i] s_i X_i``: works for queries of any shape, and any k and r.

    Args:
        position_code: gives the ``s_i`` that tell the queries apart, element by element; all 1 in ParM.

    Example:
        >>> encoder = AdditionEncoder(k=2, r=1, query_shape=(1, 2, 2))
        >>> encoder.encode(torch.ones(8, 2, 1, 2, 2)).shape
        torch.Size([8, 1, 1, 2, 2])
    """

    factors: Tensor | None

    colour = "#332288"

    def __init__(
        self,
        k: int,
        r: int,
        query_shape: Sequence[int],
        generator: Tensor | None = None,
        position_code: PositionCode | None = None,
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        # Kept with the weights: parity models are of use with the very factors that they were trained with.
        self.register_buffer("factors", (position_code or NoPositionCode()).factors(k, self.query_shape))

    def forward(self, prepared: Tensor) -> Tensor:
        if self.factors is not None:
            prepared = prepared * self.factors
        if self.r == 1:
            # The generators' first row is all ones; the plain sum is several times faster than a product.
            return prepared.sum(dim=1, keepdim=True)
        return torch.einsum("rk,bk...->br...", self.generator.to(prepared.dtype), prepared)

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        if self.factors is not None:
            first, *others = self._coefficients[row]
            torch.mul(queries[0], first, out=out)
            for query, coefficients in zip(queries[1:], others, strict=True):
                out.addcmul_(query, coefficients)
            return
        weights = self._weights[row]
        if row == 0 and self._first_row_is_ones:
            torch.add(queries[0], queries[1], out=out)
        else:
            torch.mul(queries[0], weights[0], out=out).add_(queries[1], alpha=weights[1])
        for place in range(2, self.k):
            out.add_(queries[place], alpha=weights[place])

    @cached_property
    def _coefficients(self) -> list[list[Tensor]]:
        """What each query is multiplied by in each row: ``c[j, i] s_i``."""
        assert self.factors is not None
        weights = self.generator.view(self.r, self.k, *[1] * len(self.query_shape))
        return [list(row) for row in weights * self.factors]

    @cached_property
    def _weights(self) -> list[list[float]]:
        weights: list[list[float]] = self.generator.tolist()
        return weights

    @cached_property
    def _first_row_is_ones(self) -> bool:
        return all(weight == 1 for weight in self._weights[0])
