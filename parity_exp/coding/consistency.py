"""Whether the outputs of a coding group fit together, and if not, which of them are wrong.

A group's n = k + r outputs, own predictions and parity outputs, are a codeword of an (n, k) code of distance r + 1: any
k of them determine the others. So r wrong outputs at most cannot make another codeword, and ``floor(r / 2)`` leave the
right one the closest (MDS codes; over the reals, with a generator matrix whose square submatrices are invertible).

Parity models only approximate, so that no group fits exactly. *Disagreement* is how far own predictions are from what
the decoder makes of the others; what disagreement is normal is read from groups of the validation split, for which the
limits are set such that the wanted share of them exceeds one.

Which outputs are wrong is found by erasing: the wrong ones are those without which the rest agrees.
"""

from collections.abc import Callable, Sequence
from itertools import chain, combinations

import torch
from torch import Tensor

from parity_exp.coding.decoder import Decoder

Differences = Callable[[Tensor, Tensor], Tensor]
"""Own and rebuilt predictions ``(..., *out)`` to M measures of how far apart they are, ``(..., M)``."""


class Consistency:
    """Compares the outputs of groups.

    Args:
        decoder: of the code.
        differences: such as :meth:`parity_exp.tasks.Task.differences`.
        predictions: ``(G, k, *out)``, own predictions of groups in which nothing is wrong.
        parities: ``(G, r, *out)``, their parity outputs.
        false_alarm_rate: the share of such groups that may be taken for wrong.
    """

    def __init__(
        self,
        decoder: Decoder,
        differences: Differences,
        predictions: Tensor,
        parities: Tensor,
        false_alarm_rate: float,
    ) -> None:
        self.decoder = decoder
        self.differences = differences
        self._limits = {
            erased: _limits(self.disagreement(predictions, parities, erased), false_alarm_rate)
            for erased in ((), *correctable(decoder.k, decoder.r))
        }

    @torch.inference_mode()
    def wrong(self, predictions: Tensor, parities: Tensor) -> tuple[int, ...] | None:
        """What is wrong in one group.

        Args:
            predictions: ``(k, *out)``, the own predictions.
            parities: ``(r, *out)``, the parity outputs.

        Returns:
            None where all fit together. Otherwise the wrong outputs, i for own prediction i and k + j for row j; an
            empty tuple where r = 1, which does not tell.
        """
        if self._excess(predictions, parities, ()) <= 1:
            return None
        # As few as possible; where no erasure makes the rest agree, the one that comes closest.
        best: tuple[int, ...] = ()
        least = float("inf")
        for erased in correctable(self.decoder.k, self.decoder.r):
            if least <= 1 and len(erased) > len(best):
                break
            excess = self._excess(predictions, parities, erased)
            if excess < least:
                best, least = erased, excess
        return best

    def disagreement(self, predictions: Tensor, parities: Tensor, erased: Sequence[int] = ()) -> Tensor:
        """How far own predictions are from what the decoder makes of the others, on average over the group.

        Args:
            predictions: ``(B, k, *out)``.
            parities: ``(B, r, *out)``.
            erased: outputs to leave out, numbered as by :meth:`wrong`.

        Returns:
            ``(B, M)``.
        """
        k, r = self.decoder.k, self.decoder.r
        own = [place for place in range(k) if place not in erased]
        device, rows = predictions.device, len(predictions) * len(own)
        every = torch.arange(len(own), device=device)
        available = torch.tensor(
            [[place in own and place != lost for place in range(k)] for lost in own], device=device
        )
        parity_available = torch.tensor([k + row not in erased for row in range(r)], device=device)
        decoded = self.decoder.decode(
            predictions.repeat_interleave(len(own), 0),
            available.repeat(len(predictions), 1),
            parities.repeat_interleave(len(own), 0),
            parity_available.expand(rows, r),
        )
        rebuilt = decoded.unflatten(0, (len(predictions), len(own)))[:, every, own]
        return self.differences(predictions[:, own], rebuilt).mean(1)

    def _excess(self, predictions: Tensor, parities: Tensor, erased: tuple[int, ...]) -> float:
        """The disagreement of one group as a multiple of what is normal; infinite where it is not a number."""
        k, r = self.decoder.k, self.decoder.r
        own = [place for place in range(k) if place not in erased]
        there = [None if k + row in erased else parities[row] for row in range(r)]
        rebuilt = [
            self.decoder.decode_group(
                [None if i == lost or i in erased else predictions[i] for i in range(k)], there, lost
            )
            for lost in own
        ]
        differences = self.differences(predictions[own], torch.stack(rebuilt)).mean(0)
        return float((differences / self._limits[erased]).max().nan_to_num(nan=torch.inf))


def correctable(k: int, r: int) -> list[tuple[int, ...]]:
    """The sets of wrong outputs that can be told from each other, smaller ones first; an own prediction is left."""
    sets = chain.from_iterable(combinations(range(k + r), size) for size in range(1, r // 2 + 1))
    return [some for some in sets if not set(range(k)) <= set(some)]


def _limits(disagreement: Tensor, false_alarm_rate: float) -> Tensor:
    """A limit a measure, ``(G, M) -> (M,)``, each exceeded in its part of the wanted share of the groups."""
    measures = disagreement.shape[1]
    disagreement = disagreement[disagreement.isfinite().all(1)]  # of what a model cannot say nothing is normal
    if not len(disagreement):
        return torch.full((measures,), torch.finfo(torch.float32).tiny)
    return disagreement.quantile(1 - false_alarm_rate / measures, dim=0).clamp(min=torch.finfo(torch.float32).tiny)
