"""Where queries of token ids are in a parity query that has them side by side."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenGrid:
    """The places of a parity query of token ids.

    Attributes:
        k: queries, one after the other.
        length: tokens of each.
    """

    k: int
    length: int

    def cut(self, parities: Tensor) -> Tensor:
        """The queries in parity queries, ``(B, k * length) -> (B * k, length)``."""
        return parities.reshape(len(parities) * self.k, self.length)
