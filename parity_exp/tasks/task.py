"""What every task is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Task(ABC):
    """Base class of tasks.

    A *prediction* is what a network outputs, a vector of ``outputs`` numbers. An *answer* is what a client is told, and
    has the shape of a label: ``(*label)``, nothing for a class, ``(4,)`` for a box.

    Attributes:
        outputs: numbers in one prediction.
        quality: the score that the task is judged by, ``accuracy`` or ``iou``. Metrics are called
            ``available_<quality>``, ``degraded_<quality>``, ``reconstruction_<quality>``.
        class_names: one a class, where labels are numbers of classes; otherwise none. Results are also given by class.
        no_answer: the answer of a query that has none: a label that scores 0 against every other.
        has_places: whether labels say where in the image something is, so that images must stay as they are.
        own_truth: whether answers are measured against those of the base model, for there are no true ones; the labels
            of the data are then for its training alone.
        learned_by: what a base model in training is judged by, where that is another score than the quality.
    """

    outputs: int
    quality: str
    class_names: tuple[str, ...] = ()
    no_answer: int | tuple[float, ...]
    has_places: bool = False
    own_truth: bool = False
    learned_by: str | None = None

    def label_problem(self, labels: Tensor) -> str | None:
        """What is wrong with true labels ``(N, *label)`` and what to do, after the word that names their split."""
        return None

    @abstractmethod
    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """What a base model minimises, a scalar: predictions ``(N, outputs)``, true labels ``(N, *label)``."""

    def learned(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """How good a base model in training is: predictions ``(N, outputs)``, labels ``(N, *label)`` to ``(N,)``."""
        return self.scores(predictions, labels)[self.quality]

    def truth(self, labels: Tensor, predictions: Tensor) -> Tensor:
        """What answers are measured against, ``(N, *label)``, given the base model's predictions ``(N, outputs)``."""
        return self.answer(predictions) if self.own_truth else labels

    def knowing(self, predictions: Tensor) -> "Task":
        """The task, told what the base model predicts ``(N, outputs)`` for all samples that are asked about."""
        return self

    @abstractmethod
    def divergence(self, decoded: Tensor, predictions: Tensor, temperature: float) -> Tensor:
        """How far reconstructions are from the base model's predictions, both ``(N, outputs)``: a scalar.

        Args:
            decoded: what comes out of a decoder.
            predictions: the base model's.
            temperature: the higher, the more small differences between outputs count, for tasks that know such a thing.
        """

    @abstractmethod
    def answer(self, predictions: Tensor) -> Tensor:
        """What clients are told, ``(..., outputs) -> (..., *label)``."""

    @abstractmethod
    def answer_scores(self, answers: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """How good answers are against labels, both ``(..., *label)``: scores ``(...)`` in [0, 1] by name.

        The first is the task's ``quality``. One is called ``accuracy`` and is 1 where a client would call the answer
        right, otherwise 0. What is not a number scores 0.
        """

    def scores(self, predictions: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """How good predictions ``(..., outputs)`` are against labels ``(..., *label)``: of what clients are told.

        Tasks may add scores of what the prediction says beyond the answer, such as ``accuracy_top5``. Scores against
        the true labels are those of availability and degradation, scores against the answers of the base model those
        of reconstruction.
        """
        return self.answer_scores(self.answer(predictions), labels)

    def differences(self, own: Tensor, rebuilt: Tensor) -> Tensor:
        """How far rebuilt predictions are from own ones, both ``(..., outputs)``, in ways that matter: ``(..., M)``.

        M measures, each 0 where they are the same; a check for wrong answers sets a limit to each. Here it is one,
        :func:`relative_difference`.
        """
        return relative_difference(own, rebuilt).unsqueeze(-1)

    @abstractmethod
    def default(self, labels: Tensor) -> Tensor:
        """The prediction, ``(outputs,)``, for a query of which nothing is known but the training labels."""

    @abstractmethod
    def centre(self, labels: Tensor) -> Tensor:
        """What predictions are spread around, ``(outputs,)``, as far as the training labels tell.

        An initialisation may let the parity models start from what that makes of their outputs.
        """

    @abstractmethod
    def columns(self, name: str, answers: Any) -> dict[str, Any]:
        """Columns of a table that hold answers or labels, an array ``(N, *label)``, by their names."""

    @abstractmethod
    def caption(self, own: Tensor, rebuilt: Tensor, label: Tensor) -> str:
        """Two lines below a picture of a query: the base model's own prediction ``(outputs,)``, and the rebuilt one."""

    def outline(self, prediction: Tensor) -> Sequence[float] | None:
        """A rectangle in the picture, ``(left, top, width, height)`` in shares of its sides; None without one."""
        return None


def relative_difference(own: Tensor, other: Tensor) -> Tensor:
    """``|a - b|^2 / (|a|^2 + |b|^2)`` of vectors, ``(..., n)`` and ``(..., n)`` to ``(...)``."""
    size = own.square().sum(-1) + other.square().sum(-1)
    return (own - other).square().sum(-1) / size.clamp(min=torch.finfo(size.dtype).tiny)
