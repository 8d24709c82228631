"""The encoder of codes over models: the k queries of a group are one and the same, asked of k different models."""

from collections.abc import Sequence

from torch import Tensor

from parity_exp.coding.encoder import Encoder


class SameQueryEncoder(Encoder):
    """The parity query is the query itself.

    Args:
        k: models that are asked.
        r: parity models.
        query_shape: shape of one query.
        generator: generator matrix ``(r, k)``, of which nothing is used here.
        tagged: whether queries say in a last slice of their first dimension which model they are for
            (:func:`parity_exp.models.bank.tagged`); parity queries do without it.
    """

    def __init__(
        self, k: int, r: int, query_shape: Sequence[int], generator: Tensor | None = None, tagged: bool = False
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        self.tagged = tagged
        if tagged:
            self.parity_shape = (self.query_shape[0] - 1, *self.query_shape[1:])

    def forward(self, prepared: Tensor) -> Tensor:
        first = prepared[:, :1]
        if self.tagged:
            first = first[:, :, :-1]
        return first.expand(-1, self.r, *self.parity_shape)
