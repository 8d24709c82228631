"""Random changes of training images, on whole batches at once.

Randomness comes from a generator that the caller seeds, so an epoch can be drawn again exactly.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor


class Augmentation(ABC):
    """Base class of augmentations."""

    @abstractmethod
    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Change images ``(N, C, H, W)`` at random; ``random`` is a CPU generator."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({values})"


class CropAndFlip(Augmentation):
    """Shift by up to ``padding`` pixels (zeros come in) and mirror every second image on average.

    The usual augmentation of CIFAR, and ParM's for it.
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        self.padding = padding
        self.flip = flip

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        count, channels, height, width = images.shape
        device = images.device
        offsets = torch.randint(0, 2 * self.padding + 1, (2, count, 1), generator=random).to(device)
        rows = offsets[0] + torch.arange(height, device=device)
        columns = offsets[1] + torch.arange(width, device=device)
        if self.flip:
            mirrored = (torch.rand(count, 1, generator=random) < 0.5).to(device)
            columns = torch.where(mirrored, columns.flip(1), columns)
        padded = F.pad(images, [self.padding] * 4)
        index = torch.arange(count, device=device)
        channel = torch.arange(channels, device=device)
        return padded[
            index[:, None, None, None], channel[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]
        ]
