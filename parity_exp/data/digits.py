"""scikit-learn's bundled handwritten digits: real data that need no download."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.data.dataset import Dataset, Samples
from parity_exp.data.from_clients import pictures_of
from parity_exp.data.preparation import Preparation
from parity_exp.ranges import Side

TEST_FRACTION = 0.2


class Digits(Dataset):
    """1,797 images of 8x8 pixels in 10 classes, resized to ``size`` x ``size``.

    The fifth that is held out for testing is drawn by class and always the same. Images are resized because
    concatenation shrinks them again: of 8x8 pixels, quadrants of a group of 4 would keep 4x4.
    """

    def __init__(self, size: Side = 16, **settings: Any) -> None:
        super().__init__(**settings)
        self.size = size

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        bunch = load_digits()
        images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
        images = self._resized(images)
        labels = torch.tensor(bunch.target, dtype=torch.int64)
        train, test = train_test_split(
            torch.arange(len(labels)), test_size=TEST_FRACTION, random_state=0, stratify=labels
        )
        names = [str(digit) for digit in range(10)]
        return Samples(images[train], labels[train]), Samples(images[test], labels[test]), names

    def preparation(self) -> Preparation | None:
        return pictures_of((1, self.size, self.size), self._resized)

    def _resized(self, images: Tensor) -> Tensor:
        return F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
