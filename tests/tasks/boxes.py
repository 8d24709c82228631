"""A localization data set outside of the package: a bright rectangle on noise, its box the label."""

from collections.abc import Sequence
from typing import Any

import torch

from parity_exp.data import Dataset, Samples
from parity_exp.tasks import Localization, Task

SIDE = 16


class Rectangles(Dataset):
    """``samples`` images of 16x16 pixels for training, and a quarter as many for testing."""

    def __init__(self, samples: int = 2_000, **settings: Any) -> None:
        super().__init__(**settings)
        self.samples = samples

    def task(self, class_names: Sequence[str]) -> Task:
        return Localization()

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        return rectangles(self.samples, seed=0), rectangles(self.samples // 4, seed=1), ()


def rectangles(count: int, seed: int) -> Samples:
    random = torch.Generator().manual_seed(seed)
    size = torch.randint(5, 12, (count, 2), generator=random)
    corner = (torch.rand(count, 2, generator=random) * (SIDE + 1 - size)).long()
    pixels = torch.arange(SIDE)
    inside = (pixels >= corner[..., None]) & (pixels < (corner + size)[..., None])  # (N, 2, side): columns, then rows
    images = 0.3 * torch.rand(count, SIDE, SIDE, generator=random)
    images += 0.7 * (inside[:, 1, :, None] & inside[:, 0, None, :])
    boxes = torch.cat([corner, size], dim=1) * 2 / SIDE - torch.tensor([1, 1, 0, 0])
    return Samples(images.unsqueeze(1), boxes)
