"""What keeps places apart has in common: it starts from the base model, whose maps are of another size."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.coding.token_grid import TokenGrid


class PlacesApart(nn.Module):
    """Runs one network on every place of a parity query, ``(B, C, H, W) -> (B, k * outputs)``.

    Attributes:
        network: what all places share.
        grid: where places are.
    """

    def __init__(self, network: nn.Module, grid: Grid | TokenGrid) -> None:
        super().__init__()
        self.network = network
        self.grid: Any = grid

    def start_from(self, base: nn.Module, image_shape: Sequence[int]) -> None:
        """Take the base model's weights, as far as they fit.

        The first fully connected layer after convolutions reads a map of other height and width than the base model's:
        its weights are resized with the map, and grow as there are fewer of them, so that a map of the same values
        gives the same answer. Weights that fit neither way stay as they are.

        Args:
            base: a network of the same architecture.
            image_shape: ``(C, H, W)`` of the images that it takes.
        """
        theirs, mine = base.state_dict(), self.network.state_dict()
        resized = self._resized(base, image_shape)
        with torch.no_grad():
            for name, weight in mine.items():
                given = theirs.get(name)
                if given is None:
                    continue
                if given.shape == weight.shape:
                    weight.copy_(given)
                elif name in resized:
                    weight.copy_(resized[name])

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """``(C, H, W)`` of what the shared network takes."""
        raise NotImplementedError

    def _resized(self, base: nn.Module, image_shape: Sequence[int]) -> dict[str, Tensor]:
        """Weights of the base model, by name, as they fit here although they have another shape."""
        return dict(_resized_layers(base, image_shape, self.network, self.seen_shape))


def _resized_layers(
    base: nn.Module, base_shape: Sequence[int], network: nn.Module, shape: Sequence[int]
) -> list[tuple[str, Tensor]]:
    """Weights of fully connected layers that read flattened maps, resized from the base model's maps."""
    theirs, mine = _flattened_maps(base, base_shape), _flattened_maps(network, shape)
    found = []
    for name in theirs.keys() & mine.keys():
        (depth, *before), (other_depth, *now) = theirs[name], mine[name]
        weight = base.get_submodule(name).weight
        if depth != other_depth or before == now or not isinstance(weight, Tensor):
            continue
        maps = F.interpolate(weight.detach().view(-1, depth, *before), size=now, mode="bilinear", align_corners=False)
        growth = before[0] * before[1] / (now[0] * now[1])
        found.append((f"{name}.weight", (maps * growth).flatten(1)))
    return found


@torch.no_grad()
def _flattened_maps(network: nn.Module, shape: Sequence[int]) -> dict[str, tuple[int, int, int]]:
    """For each fully connected layer that reads a flattened map, the map's ``(C, h, w)``."""
    network = copy.deepcopy(network).cpu().eval()
    last: list[tuple[int, int, int]] = []
    found: dict[str, tuple[int, int, int]] = {}

    def seen(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            last[:] = [(output.shape[1], output.shape[2], output.shape[3])]

    def reads(name: str, layer: nn.Linear) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if last and last[0][0] * last[0][1] * last[0][2] == layer.in_features:
                found.setdefault(name, last[0])

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(reads(name, module))
        elif not list(module.children()):
            module.register_forward_hook(seen)
    network(torch.zeros(1, *shape))
    return found
