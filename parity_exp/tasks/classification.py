"""Classification: a prediction is a logit for each class, a label is the number of the true class."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.tasks.task import Task

RANKS = (2, 5, 10, 20)
"""Besides top-1, accuracy is taken at these ranks, as far as there are more classes than that."""


class Classification(Task):
    """One of several classes.

    Args:
        class_names: one a class, in the order of the labels.
    """

    quality = "accuracy"

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.outputs = len(self.class_names)
        self.ranks = (1, *(rank for rank in RANKS if rank < self.outputs))

    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(predictions, labels)

    def scores(self, predictions: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        # The true class is among the first n when fewer than n others are not below it; NaN is never below anything.
        true = predictions.gather(-1, labels.unsqueeze(-1))
        above = (~(predictions <= true)).sum(-1)
        return {"accuracy" if rank == 1 else f"accuracy_top{rank}": (above < rank).float() for rank in self.ranks}

    def agreement(self, predictions: Tensor, own: Tensor) -> Tensor:
        return (predictions.argmax(-1) == own.argmax(-1)).float()

    def correct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return predictions.argmax(-1) == labels

    def default(self, labels: Tensor) -> Tensor:
        """All for the most frequent class."""
        return F.one_hot(torch.bincount(labels, minlength=self.outputs).argmax(), self.outputs).float()
