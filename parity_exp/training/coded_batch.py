"""What a code made of a batch of groups: all that an objective or a metric may look at."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from parity_exp.coding import Code, LossPatterns
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
        losses: loss patterns to decode under.
    """

    code: Code
    predictions: Tensor
    labels: Tensor
    parities: Tensor
    task: Task
    losses: LossPatterns

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
        return self.code.decode_lost(self.predictions, self.parities, self.losses)

    @cached_property
    def lost_predictions(self) -> Tensor:
        """What the base model said where a prediction is missing, ``(B, M, *out)``."""
        return self.predictions.index_select(1, self.losses.places)

    @cached_property
    def lost_labels(self) -> Tensor:
        """True labels where a prediction is missing, ``(B, M, *label)``."""
        return self.labels.index_select(1, self.losses.places)
