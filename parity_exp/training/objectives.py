"""What training minimises.

An objective sees a :class:`CodedBatch` and returns a scalar. Those that look at reconstructions simulate every
pattern of up to r losses of a group at once (Learning a Code, arXiv 1806.01259, section 5).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from parity_exp.ranges import Factor, NotNegative
from parity_exp.tasks import Classification, Task
from parity_exp.training.coded_batch import CodedBatch


class Objective(ABC):
    """Base class of objectives.

    Attributes:
        task: the tasks that it can be used for.
    """

    task: type[Task] = Task  # type: ignore[type-abstract]

    def check(self, task: Task) -> None:
        """Refuse a task whose predictions the objective cannot compare.

        Raises:
            ValueError: the objective is of no use for the task.
        """
        if not isinstance(task, self.task):
            raise ValueError(f"{type(self).__name__} is for {self.task.__name__.lower()}")

    @abstractmethod
    def __call__(self, batch: CodedBatch) -> Tensor:
        """Return the loss, a scalar to minimise."""


class ParityMSE(Objective):
    """Mean squared error between parity outputs and what they should be (Parity Models, section 3.3)."""

    def __call__(self, batch: CodedBatch) -> Tensor:
        return F.mse_loss(batch.linear_parities, batch.targets)


class DecodedMSE(Objective):
    """Mean squared error between reconstructions and the base model's predictions."""

    def __call__(self, batch: CodedBatch) -> Tensor:
        return F.mse_loss(batch.decoded, batch.lost_predictions)


class DecodedDivergence(Objective):
    """How far reconstructions are from the base model's predictions, as the task measures it.

    For classification the Kullback-Leibler divergence of their softmax, which is knowledge distillation (Hinton et al.,
    arXiv 1503.02531); for boxes the mean squared error.

    Args:
        temperature: of the softmax.

    Raises:
        ValueError: a temperature that is not above 0.
    """

    def __init__(self, temperature: Factor = 1.0) -> None:
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: expected a number above 0")
        self.temperature = temperature

    def __call__(self, batch: CodedBatch) -> Tensor:
        decoded, wanted = batch.decoded.flatten(0, 1), batch.lost_predictions.flatten(0, 1)
        return batch.task.divergence(decoded, wanted, self.temperature)


class DecodedKL(DecodedDivergence):
    """The same for classification only: refused where the divergence would be something else."""

    task = Classification


class DecodedCrossEntropy(Objective):
    """Cross-entropy of reconstructions against the true labels."""

    task = Classification

    def __call__(self, batch: CodedBatch) -> Tensor:
        return F.cross_entropy(batch.decoded.flatten(0, 1), batch.lost_labels.flatten())


class WeightedSum(Objective):
    """A weighted sum of objectives.

    Args:
        terms: objectives by name; the names are free.
        weights: a weight for each name; terms of weight 0 are not computed.

    Raises:
        ValueError: names without a weight or weights without a name, or no weight above 0.
    """

    def __init__(self, terms: Mapping[str, Objective], weights: Mapping[str, NotNegative]) -> None:
        if set(terms) != set(weights):
            raise ValueError(f"terms are {sorted(terms)} but weights are given for {sorted(weights)}")
        self.terms, self.weights = dict(terms), {name: float(weight) for name, weight in weights.items()}
        self.weighted = {name: (self.weights[name], terms[name]) for name in terms if weights[name]}
        if not self.weighted:
            raise ValueError("every weight is 0, so there is nothing to minimise")

    def check(self, task: Task) -> None:
        for _, objective in self.weighted.values():
            objective.check(task)

    def __call__(self, batch: CodedBatch) -> Tensor:
        losses = [term(batch) if weight == 1 else weight * term(batch) for weight, term in self.weighted.values()]
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        return total


class BestObjective(WeightedSum):
    """The objective that does best with a code: another one where parity models output a prediction for each place.

    There a reconstruction is a network's own answer to a small picture of the query, which true labels teach as they
    teach any network. Elsewhere it is told from the others' predictions, which labels know nothing of (measured:
    docs/results/recipes.md).

    Args:
        terms: of the weighted sum that it is elsewhere.
        weights: likewise.
        apart: where the decoder reads places that are kept apart, and the task is one that it is for.
    """

    def __init__(self, terms: Mapping[str, Objective], weights: Mapping[str, NotNegative], apart: Objective) -> None:
        super().__init__(terms, weights)
        self.apart = apart

    def __call__(self, batch: CodedBatch) -> Tensor:
        if batch.code.decoder.by_place and self._labels_teach(batch.task):
            return self.apart(batch)
        return super().__call__(batch)

    def _labels_teach(self, task: Task) -> bool:
        try:
            self.apart.check(task)
        except ValueError:
            return False
        return True
