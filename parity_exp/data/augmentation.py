"""Random changes of training images, on whole batches at once.

Randomness comes from a generator that the caller seeds, so an epoch can be drawn again exactly.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Len
from torch import Tensor

from parity_exp.ranges import PositiveShare


class Augmentation(ABC):
    """Base class of augmentations.

    Attributes:
        moves: whether things may end up elsewhere in the image, so that a label that says where they are goes wrong.
    """

    moves: bool = True

    @abstractmethod
    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Change float32 images ``(N, C, H, W)`` in [0, 1] at random; ``random`` is a CPU generator."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({values})"


class CropAndFlip(Augmentation):
    """Shift by up to ``padding`` pixels (zeros come in) and mirror every second image on average.

    The usual augmentation of CIFAR, and ParM's for it.
    """

    def __init__(self, padding: Annotated[int, Ge(0), Le(1024)] = 4, flip: bool = True) -> None:
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


class RandomResizedCropAndFlip(Augmentation):
    """Enlarge a random part of each image to the whole, and mirror every second one on average.

    The usual augmentation of ImageNet, and ParM's for cat-v-dog. A part has a share of the area drawn from ``scale``
    and a ratio of width to height whose logarithm is drawn from that of ``ratio``; of ``ATTEMPTS`` draws the first that
    fits into the image is taken, and the whole image where none does.

    Args:
        scale: least and largest share of the area.
        ratio: least and largest width over height.
        flip: whether to mirror.
    """

    ATTEMPTS = 10

    def __init__(
        self,
        scale: Annotated[Sequence[PositiveShare], Len(2, 2)] = (0.08, 1.0),
        ratio: Annotated[Sequence[Annotated[float, Gt(0), Le(100)]], Len(2, 2)] = (3 / 4, 4 / 3),
        flip: bool = True,
    ) -> None:
        for name, (least, most) in (("scale", scale), ("ratio", ratio)):
            if least > most:
                raise ValueError(f"{name}=[{least}, {most}]: expected the least first, then the largest")
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.flip = flip

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        left, top, right, bottom = self.boxes(count, height / width, random)
        if self.flip:
            mirrored = torch.rand(count, generator=random) < 0.5
            left, right = torch.where(mirrored, right, left), torch.where(mirrored, left, right)
        # The affine map from the result's coordinates to the image's, both from -1 to 1.
        maps = torch.zeros(count, 2, 3)
        maps[:, 0, 0], maps[:, 0, 2] = right - left, right + left - 1
        maps[:, 1, 1], maps[:, 1, 2] = bottom - top, bottom + top - 1
        grid = F.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)

    def boxes(self, count: int, shape: float, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw parts of images: left, top, right and bottom, ``(count,)`` each, as shares of width and height.

        Args:
            count: how many.
            shape: the images' height over their width.
            random: a CPU generator.
        """
        area, logarithm = torch.rand(2, count, self.ATTEMPTS, generator=random)
        area = self.scale[0] + area * (self.scale[1] - self.scale[0])
        low, high = (math.log(ratio) for ratio in self.ratio)
        ratio = (low + logarithm * (high - low)).exp() * shape
        widths, heights = (area * ratio).sqrt(), (area / ratio).sqrt()
        fits = (widths <= 1) & (heights <= 1)
        first = fits.int().argmax(1, keepdim=True)
        some = fits.any(1)
        width, height = (torch.where(some, sides.gather(1, first)[:, 0], 1.0) for sides in (widths, heights))
        left, top = torch.rand(2, count, generator=random) * torch.stack([1 - width, 1 - height])
        return left, top, left + width, top + height
