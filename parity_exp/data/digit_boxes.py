"""Localization without a download: scikit-learn's digits, each somewhere in a larger image."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.data.dataset import Dataset, Samples
from parity_exp.data.digits import Digits
from parity_exp.data.from_clients import pictures_of
from parity_exp.data.preparation import Preparation
from parity_exp.ranges import Few, Side
from parity_exp.tasks import Localization, Task

SMALLEST, LARGEST = 0.35, 0.75
"""A digit's height and width, as shares of the image's side."""

LEAST_SIDE = 8


class DigitBoxes(Dataset):
    """Images of ``size`` x ``size`` pixels, one digit in each; its ink's box is the label.

    Place, height and width are drawn once, from a fixed seed, so that everybody has the same images.

    Args:
        size: side of the images.
        copies: how many images of each training digit there are, each drawn anew.

    Raises:
        SettingError: images too small to tell sizes apart, or no copies.
    """

    def __init__(self, size: Side = 28, copies: Few = 4, **settings: Any) -> None:
        super().__init__(**settings)
        if size < LEAST_SIDE or copies < 1:
            raise SettingError(
                f"{{size}}={size}, {{copies}}={copies}: expected a size of at least {LEAST_SIDE} and at least one copy"
            )
        self.size = size
        self.copies = copies

    def task(self, class_names: Sequence[str]) -> Task:
        return Localization()

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        train, test, _ = Digits(name=self.name, size=8).read()
        return self._placed(train.inputs.repeat(self.copies, 1, 1, 1), seed=0), self._placed(test.inputs, seed=1), ()

    def preparation(self) -> Preparation | None:
        return pictures_of((1, self.size, self.size))

    def _placed(self, digits: Tensor, seed: int) -> Samples:
        random = torch.Generator().manual_seed(seed)
        low, high = round(SMALLEST * self.size), round(LARGEST * self.size)
        sizes = torch.randint(low, high + 1, (len(digits), 2), generator=random)  # width, height
        corners = (torch.rand(len(digits), 2, generator=random) * (self.size + 1 - sizes)).long()  # left, top
        images = torch.zeros(len(digits), 1, self.size, self.size)
        places = zip(digits, corners.tolist(), sizes.tolist(), strict=True)
        for image, (digit, (left, top), (width, height)) in zip(images, places, strict=True):
            ink = F.interpolate(_ink(digit).unsqueeze(0), size=(height, width), mode="bilinear")
            image[:, top : top + height, left : left + width] = ink[0]
        boxes = torch.cat([corners, sizes], dim=1) * 2 / self.size - torch.tensor([1, 1, 0, 0])
        return Samples(images, boxes)


def _ink(digit: Tensor) -> Tensor:
    """The part of an image ``(1, H, W)`` that is not blank."""
    rows, columns = digit[0].sum(1).nonzero(), digit[0].sum(0).nonzero()
    return digit[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
