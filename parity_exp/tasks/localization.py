"""Localization: a prediction is a box, and so is a label.

A box is (x, y, w, h) of its top left corner and its size, scaled to the image: ``2 x / W - 1``, ``2 y / H - 1``,
``2 w / W``, ``2 h / H`` (Parity Models' localization task on CUB-200-2011), so that the whole image is (-1, -1, 2, 2).
"""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from parity_exp.tasks.task import Task

CORRECT_IOU = 0.75
"""A box that overlaps the true one by this much is right, as in Parity Models' localization task."""

PARTS = ("x", "y", "w", "h")


class Localization(Task):
    """One box an image.

    Scores are ``iou``, the intersection over union of two boxes, and ``accuracy``: whether it is at least 0.75.
    """

    outputs = 4
    quality = "iou"
    no_answer = (nan, nan, nan, nan)
    has_places = True

    def label_problem(self, labels: Tensor) -> str | None:
        if labels.shape[1:] != (4,) or not labels.is_floating_point():
            return (
                f"labels have the shape {tuple(labels.shape)} and type {labels.dtype}; expected boxes (N, 4) of floats"
            )
        if labels.isfinite().all() and (labels[:, 2:] > 0).all():
            return None
        return "labels hold boxes without a size, or numbers that are not finite; put boxes (x, y, w, h) in their place"

    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(predictions, labels)

    def divergence(self, decoded: Tensor, predictions: Tensor, temperature: float) -> Tensor:
        """Mean squared error; boxes have no temperature."""
        return F.mse_loss(decoded, predictions)

    def answer(self, predictions: Tensor) -> Tensor:
        """The box as it is."""
        return predictions

    def answer_scores(self, answers: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        iou = intersection_over_union(answers, labels)
        return {"iou": iou, "accuracy": (iou >= CORRECT_IOU).float()}

    def default(self, labels: Tensor) -> Tensor:
        """The mean box."""
        return labels.mean(0)

    def centre(self, labels: Tensor) -> Tensor:
        """The mean box."""
        return labels.mean(0)

    def columns(self, name: str, answers: Any) -> dict[str, Any]:
        return {f"{name}_{part}": answers[:, number] for number, part in enumerate(PARTS)}

    def caption(self, own: Tensor, rebuilt: Tensor, label: Tensor) -> str:
        ious = [float(intersection_over_union(prediction, label)) for prediction in (own, rebuilt)]
        return "own: IoU {:.2f}\nrebuilt: IoU {:.2f}".format(*ious)

    def outline(self, prediction: Tensor) -> Sequence[float] | None:
        left, top, width, height = prediction.tolist()
        return (left + 1) / 2, (top + 1) / 2, width / 2, height / 2


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """Area that two boxes share over the area that they cover, ``(..., 4)`` and ``(..., 4)`` to ``(...)``.

    Boxes are clipped to the image first. Two that are empty share nothing, and so does one that is not of numbers.
    """
    corners = [_clipped_corners(box) for box in (first, second)]
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = corners
    width = (right_a.minimum(right_b) - left_a.maximum(left_b)).clamp(min=0)
    height = (bottom_a.minimum(bottom_b) - top_a.maximum(top_b)).clamp(min=0)
    shared = width * height
    covered = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b) - shared
    return (shared / covered.clamp(min=1e-12)).nan_to_num(nan=0.0)


def _clipped_corners(box: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    left, top, width, height = box.unbind(-1)
    right, bottom = left + width.clamp(min=0), top + height.clamp(min=0)
    return left.clamp(-1, 1), top.clamp(-1, 1), right.clamp(-1, 1), bottom.clamp(-1, 1)
