"""Classification: a prediction is a logit for each class, a label is the number of the true class."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.tasks.task import Task, relative_difference

RANKS = (2, 5, 10, 20)
"""Besides top-1, accuracy is taken at these ranks, as far as there are more classes than that."""


class Classification(Task):
    """One of several classes.

    Scores are ``accuracy`` and ``accuracy_top<n>``: whether the true class is among the n with the greatest logits. Of
    equal logits the first is the greater, as for ``argmax``; a logit that is not a number is never small enough.

    Args:
        class_names: one a class, in the order of the labels.
    """

    quality = "accuracy"
    no_answer = -1

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.outputs = len(self.class_names)
        self.ranks = (1, *(rank for rank in RANKS if rank < self.outputs))

    def label_problem(self, labels: Tensor) -> str | None:
        if labels.dim() != 1 or labels.is_floating_point() or labels.is_complex():
            return f"labels have the shape {tuple(labels.shape)} and type {labels.dtype}; expected whole numbers (N,)"
        if not len(labels) or (labels.min() >= 0 and labels.max() < self.outputs):
            return None
        return (
            f"labels run from {labels.min()} to {labels.max()}; expected 0 to {self.outputs - 1} of {self.outputs} "
            "classes, so number them from 0 or choose the data set that they belong to"
        )

    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(predictions, labels)

    def divergence(self, decoded: Tensor, predictions: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler divergence of the softmax at a temperature, times its square.

        So its gradients stay as large as those of temperature 1 (Hinton et al., arXiv 1503.02531, section 2).
        """
        ours, wanted = (F.log_softmax(logits / temperature, dim=-1) for logits in (decoded, predictions))
        return temperature**2 / len(decoded) * F.kl_div(ours, wanted, reduction="sum", log_target=True)

    def answer(self, predictions: Tensor) -> Tensor:
        """The class with the greatest logit."""
        return predictions.argmax(-1)

    def answer_scores(self, answers: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        return {"accuracy": (answers == labels).float()}

    def scores(self, predictions: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        place = labels.unsqueeze(-1)
        true = predictions.gather(-1, place)
        # Written so that a comparison with what is not a number counts against the true class.
        above = ~(predictions <= true)
        tied_before = (predictions == true) & (torch.arange(self.outputs, device=labels.device) < place)
        before = (above | tied_before).sum(-1)
        return {"accuracy" if rank == 1 else f"accuracy_top{rank}": (before < rank).float() for rank in self.ranks}

    def differences(self, own: Tensor, rebuilt: Tensor) -> Tensor:
        """That of the logits, and the symmetric Kullback-Leibler divergence of the two softmax distributions.

        The first sees what is no prediction at all, the second a good one of another class.
        """
        divergence = (own.softmax(-1) - rebuilt.softmax(-1)) * (own.log_softmax(-1) - rebuilt.log_softmax(-1))
        return torch.stack([relative_difference(own, rebuilt), divergence.sum(-1)], dim=-1)

    def default(self, labels: Tensor) -> Tensor:
        """All for the most frequent class."""
        return F.one_hot(torch.bincount(labels, minlength=self.outputs).argmax(), self.outputs).float()

    def centre(self, labels: Tensor) -> Tensor:
        """Zero: only differences between logits mean anything."""
        return torch.zeros(self.outputs, device=labels.device)

    def columns(self, name: str, answers: Any) -> dict[str, Any]:
        return {name: answers}

    def caption(self, own: Tensor, rebuilt: Tensor, label: Tensor) -> str:
        names = [self.class_names[int(self.answer(prediction))] for prediction in (own, rebuilt)]
        return "own: {}\nrebuilt: {}".format(*names)
