"""Parity models that keep the places of a parity query apart: one network for all places, and a prediction for each."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.coding.token_grid import TokenGrid

NetworkFactory = Callable[..., nn.Module]
"""Makes a network from ``input_shape`` and ``outputs``, and other settings of its class."""


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
        resized = dict(_resized_layers(base, image_shape, self.network, self._seen_shape))
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
    def _seen_shape(self) -> tuple[int, ...]:
        raise NotImplementedError


class Folded(PlacesApart):
    """Cuts the places out and runs them as though they were a batch.

    Together they have as many pixels as one query, so that takes about the operations of one pass of the base model.
    It does for every network; nothing of a place reaches another.

    Args:
        network: takes ``(N, C, *cell)`` and gives ``(N, outputs)``.
        grid: where places are.
        channels: C.
    """

    def __init__(self, network: nn.Module, grid: Grid, channels: int) -> None:
        super().__init__(network, grid)
        self.channels = channels

    @property
    def _seen_shape(self) -> tuple[int, ...]:
        return (self.channels, *self.grid.cell)

    def forward(self, parities: Tensor) -> Tensor:
        outputs: Tensor = self.network(self.grid.cut(parities))
        return outputs.view(len(parities), -1)


class PooledByPlace(PlacesApart):
    """Runs the convolutions on the whole parity query, and pools each place by itself before the shared last layers.

    For networks that end with a global average: exactly the base model's convolutions, whatever sides are rounded.
    Near the borders between places, a place sees a little of its neighbour.

    Args:
        network: takes ``(N, C, H, W)``; its one global ``nn.AdaptiveAvgPool2d`` is replaced.
        grid: where places are.
        shape: ``(C, H, W)``.

    Raises:
        ValueError: it has no such pooling, or the map that it pools has fewer rows or columns than the grid.
    """

    def __init__(self, network: nn.Module, grid: Grid, shape: Sequence[int]) -> None:
        super().__init__(network, grid)
        self.shape = tuple(shape)
        found = [(name, module) for name, module in network.named_modules() if _is_global_average(module)]
        if len(found) != 1:
            raise ValueError(f"{type(network).__name__} has {len(found)} global averages, not one")
        name, pooling = found[0]
        height, width = _map_into(network, pooling, shape)
        if height < grid.rows or width < grid.columns:
            raise ValueError(f"a map of {height}x{width} has no room for {grid.rows}x{grid.columns} places")
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, PoolPlaces(grid))

    @property
    def _seen_shape(self) -> tuple[int, ...]:
        return self.shape

    def forward(self, parities: Tensor) -> Tensor:
        outputs: Tensor = self.network(parities)
        return outputs.view(len(parities), -1)


class PoolPlaces(nn.Module):
    """The average of each place, ``(B, C, h, w) -> (B * k, C, 1, 1)``."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, maps: Tensor) -> Tensor:
        grid = self.grid
        means = F.adaptive_avg_pool2d(maps, (grid.rows, grid.columns)).flatten(2)[:, :, : grid.k]
        return means.transpose(1, 2).reshape(len(maps) * grid.k, maps.shape[1], 1, 1)


def places_apart(
    make: NetworkFactory,
    grid: Grid,
    shape: Sequence[int],
    outputs: int,
    cell_settings: Callable[[Grid], Mapping[str, Any]] | None = None,
) -> PlacesApart:
    """A parity model that keeps places apart, of an architecture.

    Args:
        make: the architecture.
        grid: where places are.
        shape: ``(C, H, W)`` of a parity query.
        outputs: numbers in one prediction.
        cell_settings: gives settings of the architecture where it sees one place alone, which is smaller than an image.

    Raises:
        ValueError: the architecture takes no image as small as a cell.
    """
    try:
        return PooledByPlace(make(input_shape=tuple(shape), outputs=outputs), grid, shape)
    except ValueError:
        pass
    cell = (shape[0], *grid.cell)
    settings = {} if cell_settings is None else cell_settings(grid)
    return Folded(make(input_shape=cell, outputs=outputs, **settings), grid, shape[0])


def _is_global_average(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))


@torch.no_grad()
def _map_into(network: nn.Module, layer: nn.Module, shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of what a layer gets for an image of a shape ``(C, H, W)``."""
    sizes: list[tuple[int, int]] = []
    copied, pooling = copy.deepcopy((network, layer))
    pooling.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    copied.eval()(torch.zeros(1, *shape))
    return sizes[0]


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
