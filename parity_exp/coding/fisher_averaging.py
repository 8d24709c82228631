"""A code over k different models: the parity model's parameters are an average of theirs, and nothing is trained.

COIN, ISIT 2024, arXiv 2409.01420, of which we know the abstract and the idea: one query is asked of k models of one
architecture, and a coded model whose outputs are a linear combination of theirs stands in for one that is late. The
average is the KL barycentre of the k models under a Gaussian around their outputs, with the Fisher information taken
for diagonal. How much is measured, what is added to the diagonal, and the rows for r > 1 are ours.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from parity_exp.coding.code import Code
from parity_exp.coding.same_query import SameQueryEncoder
from parity_exp.coding.subtraction import SubtractionDecoder
from parity_exp.ranges import NotNegative

Samples = Annotated[int, Ge(1), Le(10**7)]

DAMPINGS = (1e-4, 1e-2, 1.0, 1e4)
"""What is tried for a damping that is null; with the last one the average is nearly the plain one."""


class FisherAveraging(Code):
    """k models of one architecture, and r averages of their parameters.

    Row j of the generator matrix has ``(i + 1) ** j`` for model i, scaled so that it sums to k. Parity model j is the
    Fisher-weighted average with these weights; its outputs times k are to be the row's combination of the k models'
    outputs, from which a missing one is decoded linearly.

    Args:
        k: models.
        r: averages of them, and outputs that may be missing.
        query_shape: shape of one query.
        output_shape: shape of one prediction.
        samples: training samples on which the Fisher information of each model is measured.
        damping: what is added to every diagonal element, in means of all of them; None while nobody has chosen it.
        tagged: whether queries say which model they are for, as they do in serving.

    Attributes:
        over_models: true, since the k predictions of a group are of k models.

    Raises:
        ValueError: numbers that cannot be.
    """

    over_models = True

    def __init__(
        self,
        k: int,
        r: int,
        query_shape: Sequence[int],
        output_shape: Sequence[int],
        samples: Samples = 500,
        damping: NotNegative | None = None,
        tagged: bool = False,
    ) -> None:
        if k < 2 or r < 1:
            raise ValueError(f"k={k} and r={r}: expected 2 or more models, and 1 or more averages of them")
        if samples < 1:
            raise ValueError(f"samples={samples}: expected 1 or more")
        if damping is not None and damping < 0:
            raise ValueError(f"damping={damping}: expected 0 or more, or null to search for the best")
        rows = averaging_rows(k, r)
        super().__init__(
            SameQueryEncoder(k, r, query_shape, rows, tagged), SubtractionDecoder(k, r, output_shape, rows)
        )
        self.samples = samples
        self.damping = damping

    @property
    def rows(self) -> Tensor:
        """Weights of the k models in each parity model, ``(r, k)``; each row sums to k."""
        return self.decoder.generator

    def for_tagged(self) -> "FisherAveraging":
        """The same code for queries that say which model they are for."""
        shape = (self.encoder.query_shape[0] + 1, *self.encoder.query_shape[1:])
        return FisherAveraging(
            self.k, self.r, shape, self.decoder.output_shape, self.samples, self.damping, tagged=True
        )


def averaging_rows(k: int, r: int) -> Tensor:
    """Positive weights any r columns of which are independent, ``(r, k)``; each row sums to k."""
    rows = torch.arange(1, k + 1, dtype=torch.float64)[None] ** torch.arange(r, dtype=torch.float64)[:, None]
    return (rows * (k / rows.sum(1, keepdim=True))).float()
