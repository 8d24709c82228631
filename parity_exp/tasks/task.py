"""What every task is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor


class Task(ABC):
    """Base class of tasks.

    A prediction is a vector of ``outputs`` numbers; ``labels`` of N samples are ``(N,)`` or ``(N, ...)``, as the task
    has them.

    Attributes:
        outputs: numbers in one prediction.
        quality: the name of what measures predictions: ``accuracy`` or ``iou``. Metrics are called
            ``available_<quality>``, ``degraded_<quality>``, ``reconstruction_<quality>``.
    """

    outputs: int
    quality: str

    @abstractmethod
    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """What a base model minimises, a scalar: predictions ``(N, outputs)``, true labels."""

    @abstractmethod
    def scores(self, predictions: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """How good predictions ``(..., outputs)`` are against true labels ``(..., *label)``, each ``(...)`` float.

        The first is the task's ``quality``; further ones have names of their own, such as ``accuracy_top5``.
        """

    @abstractmethod
    def agreement(self, predictions: Tensor, own: Tensor) -> Tensor:
        """How much predictions ``(..., outputs)`` agree with the base model's own ones, ``(...)`` in [0, 1]."""

    @abstractmethod
    def correct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Whether a client would call a prediction right, ``(...)`` bool."""

    @abstractmethod
    def default(self, labels: Tensor) -> Tensor:
        """The default prediction, ``(outputs,)``: what to say of a query of which nothing is known but the training
        labels."""
