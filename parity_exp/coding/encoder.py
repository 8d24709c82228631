"""What every encoder is: a module that turns the k queries of a group into r parity queries.

To write your own, subclass :class:`Encoder`, implement :meth:`Encoder.forward`, and set ``parity_shape`` when a
parity query is not shaped like a query. Point a YAML file's ``_target_`` at the class and it can be chosen from
the command line.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.coding.token_grid import TokenGrid


class Encoder(nn.Module, ABC):
    """Base class of encoders.

    Args:
        k: queries in a coding group.
        r: parity queries of a group.
        query_shape: shape of one query, ``(C, H, W)``, or ``(L,)`` of token ids.
        generator: generator matrix ``(r, k)``; a row of ones when it is left out, which needs r = 1.

    Attributes:
        parity_shape: shape of one parity query; the input shape of the parity models.
        prepared_shape: shape of one query after :meth:`prepare`.
        grid: where each query of the group is in a parity query; None where queries are mixed.
        of_tokens: what does for token ids what the class does for quantities: itself, another class, or None where
            nothing does.
    """

    generator: Tensor
    of_tokens: ClassVar["type[Encoder] | None"] = None

    keeps_queries_apart: ClassVar[bool] = False
    """Whether each query of a group stands at a place of its own in a parity query, which then has a grid."""

    colour: ClassVar[str | None] = None
    """Of its lines in figures, as Matplotlib has them, such as ``#332288``; None: one that follows from its name."""

    def __init__(self, k: int, r: int, query_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__()
        self.k = k
        self.r = r
        self.query_shape = tuple(query_shape)
        self.parity_shape = self.query_shape
        self.prepared_shape = self.query_shape
        self.grid: Grid | TokenGrid | None = None
        self.register_buffer("generator", row_of_ones(k, r) if generator is None else generator, persistent=False)

    def see(self, base: nn.Module) -> None:
        """See the trained base model once, before the code is trained; most encoders do not need to.

        Raises:
            ValueError: it lacks what the encoder takes from it.
        """

    def prepare(self, queries: Tensor) -> Tensor:
        """Do what does not depend on a query's neighbours, ``(N, *query_shape) -> (N, *prepared_shape)``.

        Training calls this once for a whole data set instead of once an epoch, where no augmentation or
        trainable part stands in the way. The default returns the queries as they are.
        """
        return queries

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """Encode prepared queries, ``(B, k, *prepared_shape) -> (B, r, *parity_shape)``."""

    def encode(self, queries: Tensor) -> Tensor:
        """Prepare and encode, ``(B, k, *query_shape) -> (B, r, *parity_shape)``."""
        prepared = self.prepare(queries.flatten(0, 1))
        parities: Tensor = self(prepared.unflatten(0, queries.shape[:2]))
        return parities

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        """Encode one parity query of one group, as serving does: no batch dimension, no memory of its own.

        Args:
            queries: k queries ``(*query_shape)``.
            row: which of the r parity queries.
            out: takes it, ``(*parity_shape)``.
        """
        out.copy_(self.encode(torch.stack(list(queries)).unsqueeze(0))[0, row])


def row_of_ones(k: int, r: int) -> Tensor:
    """The generator matrix of a plain sum, ``(1, k)``.

    Raises:
        ValueError: r > 1, where rows have to differ and the caller has to choose them.
    """
    if r != 1:
        raise ValueError(f"r={r} parity queries need a generator matrix of shape ({r}, {k}); only r=1 has a default")
    return torch.ones(1, k)
