"""What a code made of a batch of groups: all that an objective or a metric may look at."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from parity_exp.coding import Code
from parity_exp.tasks import Task


@dataclass(frozen=True)
class CodedBatch:
    """A batch of coding groups after the parity models have run.

    What is derived is computed when it is first asked for, so an objective pays for what it uses only.

    Attributes:
        code: the code.
        predictions: ``(B, k, *out)``, the base model's.
        labels: ``(B, k, *label)``, true ones.
        parities: ``(B, r, *out)``, the parity models' outputs, with extra ones where the decoder reads them.
        task: says what predictions mean.
        patterns: ``(P, k)``, loss patterns to decode under, true where a prediction is available.
        lost: ``(M, 2)``, pattern and place in the group of every missing prediction: ``(~patterns).nonzero()``.
        parity_patterns: ``(P, r)``, true where a parity output is available; None: all of them are.
    """

    code: Code
    predictions: Tensor
    labels: Tensor
    parities: Tensor
    task: Task
    patterns: Tensor
    lost: Tensor
    parity_patterns: Tensor | None = None

    @cached_property
    def targets(self) -> Tensor:
        """What the parity models should have output, ``(B, r, *out)``."""
        return self.code.targets(self.predictions)

    @cached_property
    def linear_parities(self) -> Tensor:
        """The parity outputs that are to equal the targets, ``(B, r, *out)``."""
        extra = self.code.decoder.extra_outputs
        return self.parities[..., :-extra] if extra else self.parities

    @cached_property
    def decoded(self) -> Tensor:
        """The reconstruction of every missing prediction, ``(B, M, *out)``."""
        every = self.code.decode_patterns(self.predictions, self.parities, self.patterns, self.parity_patterns)
        return every[:, self.lost[:, 0], self.lost[:, 1]]

    @cached_property
    def lost_predictions(self) -> Tensor:
        """What the base model said where a prediction is missing, ``(B, M, *out)``."""
        return self.predictions[:, self.lost[:, 1]]

    @cached_property
    def lost_labels(self) -> Tensor:
        """True labels where a prediction is missing, ``(B, M, *label)``."""
        return self.labels[:, self.lost[:, 1]]
