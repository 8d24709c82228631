"""A mixture: places apart, and what the other predictions of the group tell."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from parity_exp.coding.corrected_decoder import CorrectedDecoder
from parity_exp.coding.places import PlacesDecoder
from parity_exp.coding.precision import at_least_single
from parity_exp.ranges import Share, Width


class MixtureDecoder(CorrectedDecoder):
    """What the parity model says of the lost query itself, mixed with what the available predictions say.

    Places apart alone read no other prediction. Here the available ones come in twice. First as in a subtraction:
    where they differ from what the parity model said of *their* places, its error there tells of its error at the lost
    place, ``p_i + w sum_j (p_j - F_j)`` over what is available; with w = 0 that is places apart, with w = 1 it is the
    sum of all places less the available predictions, ParM's decoding. Then by a small network that reads all of them,
    which can learn that queries of a group resemble each other. Any number of losses comes back from one parity output.

    Args:
        weight: w; None: it is learned, and starts at 0.
        hidden: width of the network's hidden layer.

    Raises:
        ValueError: predictions that are not vectors.
    """

    by_place = True

    def __init__(
        self,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        weight: Share | None = None,
        hidden: Width = 128,
    ) -> None:
        super().__init__(PlacesAndSubtraction(k, r, output_shape, generator, weight), 0, hidden)

    @classmethod
    def repairs(cls, losses: Any, parities: Any) -> Any:
        """As of places apart: any number of losses, from one parity output."""
        return PlacesDecoder.repairs(losses, parities)


class PlacesAndSubtraction(PlacesDecoder):
    """``p_i + w sum_j (p_j - F_j)`` over the available predictions; see :class:`MixtureDecoder`."""

    reads_predictions = True
    weight: Tensor

    def __init__(
        self,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        weight: float | None = None,
    ) -> None:
        super().__init__(k, r, output_shape, generator)
        if weight is None:
            self.weight = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("weight", torch.tensor(float(weight)))

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        own = super().reconstruct(predictions, available, parities, parity_available)
        differences = (own - predictions) * available.unsqueeze(2)
        return own + self.weight * differences.sum(1, keepdim=True)

    @torch.inference_mode()
    def decode_group(
        self, predictions: Sequence[Tensor | None], parities: Sequence[Tensor | None], place: int
    ) -> Tensor:
        own = [super(PlacesAndSubtraction, self).decode_group(predictions, parities, one) for one in range(self.k)]
        found = own[place].clone()
        for mine, prediction in zip(own, predictions, strict=True):
            if prediction is not None:
                found += self.weight * (mine - at_least_single(prediction))
        return found
