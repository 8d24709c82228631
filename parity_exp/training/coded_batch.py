"""What a code made of a batch of groups: all that an objective or a metric may look at."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from parity_exp.coding import Code


@dataclass(frozen=True)
class CodedBatch:
    """A batch of coding groups after the parity models have run.

    What is derived is computed when it is first asked for, so an objective pays for what it uses only.

    Attributes:
        code: the code.
        predictions: ``(B, k, *out)``, the base model's.
        labels: ``(B, k, *label)``, true ones.
        parities: ``(B, r, *out)``, the parity models' outputs.
        patterns: ``(P, k)``, loss patterns to decode under, true where a prediction is available.
        lost: ``(M, 2)``, pattern and place in the group of every missing prediction: ``(~patterns).nonzero()``.
    """

    code: Code
    predictions: Tensor
    labels: Tensor
    parities: Tensor
    patterns: Tensor
    lost: Tensor

    @cached_property
    def targets(self) -> Tensor:
        """What the parity models should have output, ``(B, r, *out)``."""
        return self.code.targets(self.predictions)

    @cached_property
    def decoded(self) -> Tensor:
        """The reconstruction of every missing prediction, ``(B, M, *out)``."""
        every = self.code.decode_patterns(self.predictions, self.parities, self.patterns)
        return every[:, self.lost[:, 0], self.lost[:, 1]]

    @cached_property
    def lost_predictions(self) -> Tensor:
        """What the base model said where a prediction is missing, ``(B, M, *out)``."""
        return self.predictions[:, self.lost[:, 1]]

    @cached_property
    def lost_labels(self) -> Tensor:
        """True labels where a prediction is missing, ``(B, M, *label)``."""
        return self.labels[:, self.lost[:, 1]]
