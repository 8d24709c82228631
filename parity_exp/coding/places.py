"""Places apart: parity models that keep the queries of a group apart to the end, and output a prediction for each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.precision import at_least_single


class PlacesDecoder(Decoder):
    """Takes from a parity output what stands at the lost query's place.

    A parity model outputs the k predictions of its group one after the other. So the available predictions are not
    needed to tell them apart, and one parity output brings back all k. With r > 1 the outputs that have arrived are
    averaged. Use it with an encoder that keeps queries apart (``encoder=concat``): of a sum, no network can tell which
    query was which.

    Raises:
        ValueError: predictions that are not vectors.
    """

    by_place = True
    reads_predictions = False

    def __init__(self, k: int, r: int, output_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__(k, r, output_shape, generator)
        if len(self.output_shape) != 1:
            raise ValueError(f"places are kept apart in predictions that are vectors, not of shape {self.output_shape}")

    @classmethod
    def repairs(cls, losses: Any, parities: Any) -> Any:
        """Any number of losses comes back from one parity output; nothing needs to come back where nothing is lost."""
        return (losses == 0) | (parities >= 1)

    def targets(self, predictions: Tensor) -> Tensor:
        """The k predictions in a row, the same for every parity model, ``(B, k, out) -> (B, r, k * out)``."""
        return at_least_single(predictions).flatten(1).unsqueeze(1).expand(-1, self.r, -1)

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        weights = parity_available.to(parities.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        return (weights.unsqueeze(2) * parities).sum(1).view_as(predictions)

    @torch.inference_mode()
    def decode_group(
        self, predictions: Sequence[Tensor | None], parities: Sequence[Tensor | None], place: int
    ) -> Tensor:
        size = self.output_shape[0]
        there = [
            at_least_single(output)[place * size : (place + 1) * size] for output in parities if output is not None
        ]
        if not there:
            raise ValueError("nothing to decode from: no parity output has arrived")
        return there[0] if len(there) == 1 else torch.stack(there).mean(0)
