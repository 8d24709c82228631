"""What every decoder is: it says what the parity models must output, and fills in lost predictions.

To write your own, subclass :class:`Decoder` and implement :meth:`Decoder.reconstruct`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from parity_exp.coding.encoder import row_of_ones
from parity_exp.coding.precision import Rounding, at_least_single
from parity_exp.policies.needs import Needs


class Decoder(nn.Module, ABC):
    """Base class of decoders.

    Args:
        k: queries in a coding group.
        r: parity queries of a group.
        output_shape: shape of one prediction, ``(classes,)`` for logits.
        generator: generator matrix ``(r, k)``; a row of ones when it is left out, which needs r = 1.

    Attributes:
        extra_outputs: numbers that a parity model outputs after those of :meth:`targets`, for a decoder that learns
            what to make of them; 0 for most.
        by_place: whether a parity model outputs a prediction for each place of the group, instead of one for all.
        reads_predictions: whether what is available of the predictions goes into reconstructions.
    """

    generator: Tensor
    extra_outputs = 0
    by_place = False
    reads_predictions = True

    def __init__(self, k: int, r: int, output_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__()
        self.k = k
        self.r = r
        self.output_shape = tuple(output_shape)
        self.register_buffer("generator", row_of_ones(k, r) if generator is None else generator, persistent=False)
        self.rounding = Rounding()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move to another device or format; the generator keeps its digits, for encoder and decoder share them."""
        exact = self.generator
        super()._apply(fn, recurse)
        self.generator = exact.to(self.generator.device)
        return self

    def targets(self, predictions: Tensor) -> Tensor:
        """What the parity models must output, ``(B, k, *out) -> (B, r, *out)``: ``sum_i c[j, i] F(X_i)``.

        In single precision at least, whatever predictions have: rounded sums cannot be decoded.
        """
        predictions = at_least_single(predictions)
        if self.r == 1:
            return predictions.sum(dim=1, keepdim=True)
        # Products of matrices would be rounded by autocast, and by TF32.
        weights = self.generator.to(predictions.dtype).view(self.r, self.k, *[1] * (predictions.dim() - 2))
        return (weights * predictions.unsqueeze(1)).sum(dim=2)

    @property
    def parity_outputs(self) -> int:
        """Numbers that a parity model outputs for one parity query."""
        places = self.k if self.by_place else 1
        return places * math.prod(self.output_shape) + self.extra_outputs

    @property
    def most_losses(self) -> int:
        """How many predictions of a group can come back at once, when all parity outputs are there."""
        return self.needs.most_losses

    @property
    def needs(self) -> Needs:
        """From how many own predictions and parity outputs lost predictions come back, as policies ask it."""
        return Needs.of(self.k, self.r, self.repairs)

    @classmethod
    def needs_of(cls, k: int, r: int, **settings: Any) -> Needs:  # noqa: ARG003 - for classes that depend on them
        """What :attr:`needs` would be of a decoder with these settings: for simulations, which make none.

        Args:
            k: queries in a coding group.
            r: parity queries of a group.
            settings: the constructor's, as a config has them.
        """
        return Needs.of(k, r, cls.repairs)

    @classmethod
    def repairs(cls, losses: Any, parities: Any) -> Any:
        """Whether so many lost predictions of a group come back from so many parity outputs, and all others.

        What it says holds for each of the lost ones. It is the one place that says so: decoding and evaluation go by
        it, and policies, in serving as in simulations, by the :attr:`needs` that follow. By default a parity output
        stands in for one prediction.

        Args:
            losses: a number, or a tensor of numbers.
            parities: likewise.

        Returns:
            A truth value, or a tensor of them.
        """
        return losses <= parities

    def calibrate(self, predictions: Tensor) -> None:
        """See what predictions look like, ``(N, *out)``, once before training."""

    def decode(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        """Fill in the predictions that are missing.

        Args:
            predictions: ``(B, k, *out)``; what stands at missing places is ignored and may be NaN.
            available: ``(B, k)``, true where a prediction has arrived.
            parities: ``(B, r, *out)``, the parity models' outputs; ignored where missing. With extra outputs they
                follow those of the last dimension.
            parity_available: ``(B, r)``, true where a parity output has arrived.

        Returns:
            ``(B, k, *out)``, in single precision at least: available predictions unchanged, missing ones
            reconstructed, and NaN where a group has lost more predictions than :meth:`repairs` brings back.
        """
        predictions, parities = self.rounding.undone(self.generator, (predictions, parities))
        mask = _spread(available, predictions)
        known = torch.where(mask, predictions, 0)
        parity_known = torch.where(_spread(parity_available, parities), parities, 0)
        repaired = self.reconstruct(known, available, parity_known, parity_available)
        repairable = self.repairs((~available).sum(1), parity_available.sum(1))
        repaired = torch.where(_spread(repairable, repaired), repaired, torch.nan)
        return torch.where(mask, predictions, repaired)

    @torch.inference_mode()
    def decode_group(
        self, predictions: Sequence[Tensor | None], parities: Sequence[Tensor | None], place: int
    ) -> Tensor:
        """Reconstruct one prediction of one group, as serving does.

        Args:
            predictions: k predictions ``(*output_shape)``, None where missing.
            parities: r parity outputs ``(*output_shape)``, None where missing.
            place: which prediction; it has to be missing, and not more may be missing than :meth:`repairs` brings back.

        Returns:
            ``(*output_shape)``.
        """
        like = next(output for output in (*parities, *predictions) if output is not None)
        nothing = torch.zeros_like(like)

        def stack(outputs: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
            mask = torch.tensor([output is not None for output in outputs], device=like.device)
            return torch.stack([nothing if output is None else output for output in outputs])[None], mask[None]

        return self.decode(*stack(predictions), *stack(parities))[0, place]

    @abstractmethod
    def reconstruct(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        """As :meth:`decode`, with zeros at missing places; only the missing places of the result are read."""


def _spread(mask: Tensor, like: Tensor) -> Tensor:
    """View a mask of one or two dimensions so that it broadcasts over ``like``."""
    return mask.view(*mask.shape, *[1] * (like.dim() - mask.dim()))
