"""Places apart by cutting: every place is a query of its own to a network that they share."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.models.places.apart import PlacesApart


class Folded(PlacesApart):
    """Cuts the places out and runs them as though they were a batch.

    Together they have as many pixels as one query, so that takes about the operations of one pass of the base model.
    It does for every network; nothing of a place reaches another.

    Args:
        network: takes ``(N, C, *seen)`` and gives ``(N, outputs)``.
        grid: where places are.
        channels: C.
        seen: height and width of a place as the network gets it; None: as it is in the parity query.
    """

    def __init__(self, network: nn.Module, grid: Grid, channels: int, seen: tuple[int, int] | None = None) -> None:
        super().__init__(network, grid)
        self.channels = channels
        self.seen = grid.cell if seen is None else seen

    @property
    def seen_shape(self) -> tuple[int, ...]:
        return (self.channels, *self.seen)

    def forward(self, parities: Tensor) -> Tensor:
        outputs: Tensor = self.network(resized(self.grid.cut(parities), self.seen))
        return outputs.view(len(parities), -1)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images of another height and width, ``(N, C, H, W) -> (N, C, *size)``."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)


class MiddleConv2d(nn.Conv2d):
    """A convolution that sees one pixel: all of its weights but the middle ones meet zeros, and are left out.

    What it gives is the same. Its weights have the names and shapes of the convolution that it replaces.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as PyTorch calls it
        row, column = (side // 2 for side in self.kernel_size)
        middle = self.weight[:, :, row : row + 1, column : column + 1]
        return F.conv2d(input, middle, self.bias, groups=self.groups)


@torch.no_grad()
def leave_out_zeros(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Make convolutions that see a single pixel cheaper, where images of a shape ``(C, H, W)`` come in.

    Networks made for large images shrink a small place to one pixel long before their end.
    """
    copied = copy.deepcopy(network).eval()
    sizes: dict[str, set[tuple[int, ...]]] = {}

    def sees(name: str) -> Any:
        return lambda _, inputs: sizes.setdefault(name, set()).add(tuple(inputs[0].shape[-2:]))

    for name, module in copied.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(sees(name))
    device = next((weight.device for weight in copied.parameters()), torch.device("cpu"))
    copied(torch.zeros(1, *shape, device=device))
    for name, seen in sizes.items():
        layer = network.get_submodule(name)
        if type(layer) is nn.Conv2d and seen == {(1, 1)} and _keeps_its_middle(layer):
            layer.__class__ = MiddleConv2d


def _keeps_its_middle(layer: nn.Conv2d) -> bool:
    """Whether of one pixel with zeros around it, one pixel is made by the middle of the kernel."""
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str) or max(layer.kernel_size) == 1:
        return False
    odd = all(side % 2 == 1 for side in layer.kernel_size)
    sides = zip(layer.kernel_size, layer.padding, layer.dilation, strict=True)
    return odd and all(zeros == reach * (side // 2) for side, zeros, reach in sides)
