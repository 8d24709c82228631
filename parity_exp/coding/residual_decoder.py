"""Residual decoder: linear decoding, and a small network that corrects it from what parity models say beside it."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor

from parity_exp.coding.corrected_decoder import CorrectedDecoder
from parity_exp.coding.subtraction import SubtractionDecoder
from parity_exp.ranges import Width

EXTRA_OUTPUTS = 64


class ResidualDecoder(CorrectedDecoder):
    """Subtraction, and a network that corrects it from more than a sum.

    The sum of k predictions is little to go by: what a parity model saw of a query and could not express in it is
    lost. So it has some more outputs, free for whatever helps, and the network reads them together with everything
    else that has arrived.

    Args:
        extra_outputs: numbers that each parity model outputs beside those that are decoded linearly; None:
            :data:`EXTRA_OUTPUTS`.
        hidden: width of the hidden layer.

    Raises:
        ValueError: a negative number of extra outputs, a hidden layer of no width, or predictions that are not vectors.
    """

    def __init__(
        self,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        extra_outputs: Annotated[int, Ge(0), Le(2**16)] | None = None,
        hidden: Width = 128,
    ) -> None:
        more = EXTRA_OUTPUTS if extra_outputs is None else extra_outputs
        super().__init__(SubtractionDecoder(k, r, output_shape, generator), more, hidden)
