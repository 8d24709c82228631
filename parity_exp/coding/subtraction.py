"""Subtraction decoder: what is left of the parity outputs after taking off the available predictions."""

import torch
from torch import Tensor

from parity_exp.coding.decoder import Decoder


class SubtractionDecoder(Decoder):
    """General linear decoding; with r = 1 exactly ParM's subtraction (Parity Models, SOSP 2019, section 3.2).

    With A the columns of the generator matrix that belong to lost predictions and the rows of parity outputs that
    arrived, the lost predictions are the least-squares solution of ``A x = parities - c @ available``. Any number
    of losses up to the number of parity outputs goes through one batched solve of size k, in double precision.
    """

    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        if self.r == 1:
            # One lost prediction at most: the difference is right at its place, whichever that is.
            return (parities - predictions.sum(dim=1, keepdim=True)).expand_as(predictions)
        return self._solve(predictions, available, parities, parity_available)

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
