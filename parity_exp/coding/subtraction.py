"""Subtraction decoder: what is left of the parity outputs after taking off the available predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.precision import at_least_single


class SubtractionDecoder(Decoder):
    """General linear decoding; with r = 1 exactly ParM's subtraction (Parity Models, SOSP 2019, section 3.2).

    With A the columns of the generator matrix that belong to lost predictions and the rows of parity outputs that
    arrived, the lost predictions are the least-squares solution of ``A x = parities - c @ available``. Any number
    of losses up to the number of parity outputs goes through one batched solve of size k, in double precision.
    """

    def __init__(self, k: int, r: int, output_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__(k, r, output_shape, generator)
        self._weights: dict[tuple[int, ...], list[float]] = {}

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        if self.r == 1:
            # One lost prediction at most: the difference is right at its place, whichever that is.
            return (parities - predictions.sum(dim=1, keepdim=True)).expand_as(predictions)
        return self._solve(predictions, available, parities, parity_available)

    @torch.inference_mode()
    def decode_group(
        self, predictions: Sequence[Tensor | None], parities: Sequence[Tensor | None], place: int
    ) -> Tensor:
        # For a given loss pattern a reconstruction is a fixed weighted sum of the outputs that are there.
        pattern = (*(output is not None for output in predictions), *(output is not None for output in parities), place)
        weights = self._weights.get(pattern)
        if weights is None:
            weights = self._weights[pattern] = self._weights_for(pattern)
        decoded: Tensor | None = None
        for output, weight in zip((*parities, *predictions), weights, strict=True):
            if output is None or weight == 0:
                continue
            output = at_least_single(output)
            if decoded is None:
                decoded = output * weight if weight != 1 else output
            else:
                decoded = torch.add(decoded, output, alpha=weight)
        if decoded is None:
            raise ValueError("nothing to decode from: no parity output has arrived")
        return decoded

    def _weights_for(self, pattern: tuple[int, ...]) -> list[float]:
        """Weights of the parity outputs and the predictions in the reconstruction of one place."""
        available, parity_available, place = pattern[: self.k], pattern[self.k : -1], pattern[-1]
        lost = [i for i in range(self.k) if not available[i]]
        rows = [j for j in range(self.r) if parity_available[j]]
        if len(lost) > len(rows):
            raise ValueError(f"{len(lost)} predictions are missing, but only {len(rows)} parity outputs are there")
        generator = self.generator.cpu().double()
        solve = torch.linalg.pinv(generator[rows][:, lost])[lost.index(place)]
        parity_weights = torch.zeros(self.r, dtype=torch.float64)
        parity_weights[rows] = solve
        prediction_weights = -(parity_weights @ generator)
        # Least squares leaves rounding errors of 1e-16 where exact arithmetic gives 0 or 1.
        every = torch.cat([parity_weights, prediction_weights])
        rounded = every.round()
        exact = torch.where((every - rounded).abs() < 1e-12, rounded, every)
        weights: list[float] = exact.tolist()
        return weights

    def _solve(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        generator = self.generator.double()
        residual = parities.flatten(2).double() - torch.einsum(
            "rk,bko->bro", generator, predictions.flatten(2).double()
        )
        lost = ~available
        coefficients = generator * parity_available[:, :, None] * lost[:, None, :]
        normal = coefficients.mT @ coefficients
        # Ones on the diagonal of available predictions keep the system of size k regular and solve them to zero.
        # Groups beyond repair get the identity: their result is discarded, and must not stop the others.
        repairable = lost.sum(1) <= parity_available.sum(1)
        identity = torch.eye(self.k, dtype=normal.dtype, device=normal.device)
        normal = torch.where(repairable[:, None, None], normal + torch.diag_embed(available.double()), identity)
        solution = torch.linalg.solve(normal, coefficients.mT @ residual)
        return solution.to(predictions.dtype).view_as(predictions)
