"""Localization: a prediction is a box, and so is a label.

A box is (x, y, w, h) of its top left corner and its size, scaled to the image: ``2 x / W - 1``, ``2 y / H - 1``,
``2 w / W``, ``2 h / H`` (Parity Models' localization task on CUB-200-2011), so that the whole image is (-1, -1, 2, 2).
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from parity_exp.tasks.task import Task

CORRECT_IOU = 0.75


class Localization(Task):
    """One box an image."""

    outputs = 4
    quality = "iou"

    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(predictions, labels)

    def scores(self, predictions: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """``iou``, and ``accuracy``: the share of boxes with an IoU of at least 0.75."""
        iou = intersection_over_union(predictions, labels)
        return {"iou": iou, "accuracy": (iou >= CORRECT_IOU).float()}

    def agreement(self, predictions: Tensor, own: Tensor) -> Tensor:
        return intersection_over_union(predictions, own)

    def correct(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return intersection_over_union(predictions, labels) >= CORRECT_IOU

    def default(self, labels: Tensor) -> Tensor:
        """The mean box."""
        return labels.mean(0)


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """Area that two boxes share over the area that they cover, ``(..., 4)`` and ``(..., 4)`` to ``(...)``.

    Boxes are clipped to the image first; two that are empty share nothing.
    """
    corners = [_clipped_corners(box) for box in (first, second)]
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = corners
    width = (right_a.minimum(right_b) - left_a.maximum(left_b)).clamp(min=0)
    height = (bottom_a.minimum(bottom_b) - top_a.maximum(top_b)).clamp(min=0)
    shared = width * height
    covered = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b) - shared
    return shared / covered.clamp(min=1e-12)


def _clipped_corners(box: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    left, top, width, height = box.unbind(-1)
    right, bottom = left + width.clamp(min=0), top + height.clamp(min=0)
    return left.clamp(-1, 1), top.clamp(-1, 1), right.clamp(-1, 1), bottom.clamp(-1, 1)
