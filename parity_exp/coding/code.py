"""A code: an encoder and the decoder that belongs to it, as one object.

Training asks it for the parity queries and for what the parity models must learn, evaluation and serving ask it
to fill in what is missing. Since all of them ask the same object, they cannot disagree.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.encoder import Encoder
from parity_exp.coding.losses import LossPatterns
from parity_exp.policies.needs import Needs


class Code(nn.Module):
    """An erasure code over queries and predictions.

    Args:
        encoder: k queries to r parity queries.
        decoder: fills in up to r missing predictions.

    Attributes:
        systematic: true when the queries themselves are sent to the base model and only losses are approximate.

    Raises:
        ValueError: encoder and decoder made for different k or r.

    Example:
        >>> from parity_exp.coding import AdditionEncoder, SubtractionDecoder
        >>> code = Code(AdditionEncoder(2, 1, (1, 4, 4)), SubtractionDecoder(2, 1, (10,)))
        >>> predictions = torch.randn(5, 2, 10)
        >>> lost = torch.tensor([[True, False]]).expand(5, 2)
        >>> parities = code.targets(predictions)
        >>> decoded = code.decode(predictions, lost, parities, torch.ones(5, 1, dtype=torch.bool))
        >>> torch.allclose(decoded, predictions, atol=1e-5)
        True
    """

    systematic = True

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if (encoder.k, encoder.r) != (decoder.k, decoder.r):
            raise ValueError(
                f"encoder is for k={encoder.k}, r={encoder.r}, decoder for k={decoder.k}, r={decoder.r}; "
                "they must be the same"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.k = encoder.k
        self.r = encoder.r

    @property
    def needs(self) -> Needs:
        """From how many own predictions and parity outputs lost predictions come back; policies ask it."""
        return self.decoder.needs

    def encode(self, queries: Tensor) -> Tensor:
        """``(B, k, *query) -> (B, r, *parity_query)``."""
        return self.encoder.encode(queries)

    def targets(self, predictions: Tensor) -> Tensor:
        """What the parity models must output for a group, ``(B, k, *out) -> (B, r, *out)``."""
        return self.decoder.targets(predictions)

    def decode(self, predictions: Tensor, available: Tensor, parities: Tensor, parity_available: Tensor) -> Tensor:
        """Fill in missing predictions; see :meth:`parity_exp.coding.Decoder.decode`."""
        return self.decoder.decode(predictions, available, parities, parity_available)

    def coded_shape(self, query_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of a parity query, whatever a query's own is."""
        return self.encoder.parity_shape

    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        """Encode one parity query of one group; see :meth:`parity_exp.coding.Encoder.encode_group`."""
        self.encoder.encode_group(queries, row, out)

    def decode_patterns(
        self, predictions: Tensor, parities: Tensor, patterns: Tensor, parity_patterns: Tensor | None = None
    ) -> Tensor:
        """Decode every group under every loss pattern.

        Args:
            predictions: ``(B, k, *out)``, none of them missing.
            parities: ``(B, r, *out)``, with extra outputs where the decoder reads them.
            patterns: ``(P, k)``, true where a prediction is available.
            parity_patterns: ``(P, r)``, true where a parity output is available; None: all of them are.

        Returns:
            ``(B, P, k, *out)``.
        """
        batch, patterns_count = len(predictions), len(patterns)
        if parity_patterns is None:
            parity_patterns = torch.ones(patterns_count, self.r, dtype=torch.bool, device=parities.device)

        def repeat(tensor: Tensor) -> Tensor:
            return tensor.unsqueeze(1).expand(-1, patterns_count, *tensor.shape[1:]).flatten(0, 1)

        decoded = self.decode(
            repeat(predictions),
            patterns.repeat(batch, 1),
            repeat(parities),
            parity_patterns.repeat(batch, 1),
        )
        return decoded.unflatten(0, (batch, patterns_count))

    def decode_lost(self, predictions: Tensor, parities: Tensor, losses: LossPatterns) -> Tensor:
        """Reconstruct what is missing of every group under every loss pattern, and nothing else.

        The same as taking it from :meth:`decode_patterns`, in a fraction of the operations; for training.

        Args:
            predictions: ``(B, k, *out)``, none of them missing.
            parities: ``(B, r, *out)``, with extra outputs where the decoder reads them.
            losses: the patterns.

        Returns:
            ``(B, M, *out)``.

        Raises:
            ValueError: patterns that lose more predictions than :meth:`~parity_exp.coding.Decoder.repairs` brings back.
        """
        for lost, there in losses.counts:
            if not self.decoder.repairs(lost, there):
                raise ValueError(
                    "a loss pattern has more missing predictions than parity outputs bring back: "
                    f"{lost} with {there} of these"
                )
        predictions, parities = self.decoder.rounding.undone(self.decoder.generator, (predictions, parities))

        def seen(outputs: Tensor, patterns: Tensor) -> Tensor:
            mask = patterns.view(1, *patterns.shape, *[1] * (outputs.dim() - 2))
            return torch.where(mask, outputs.unsqueeze(1), losses.zero.to(outputs.dtype)).flatten(0, 1)

        if losses.all_parities:
            known_parities = parities.unsqueeze(1).expand(-1, len(losses), *parities.shape[1:]).flatten(0, 1)
        else:
            known_parities = seen(parities, losses.parity_patterns)
        available, parity_available = losses.masks(len(predictions))
        known = seen(predictions, losses.patterns)
        rebuilt = self.decoder.reconstruct(known, available, known_parities, parity_available)
        return losses.pick(rebuilt.unflatten(0, (len(predictions), len(losses))))
