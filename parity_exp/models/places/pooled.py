"""Places apart by pooling: convolutions see the whole parity query, and each place is pooled by itself at the end."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from parity_exp.coding.grid import Grid
from parity_exp.models.places.apart import PlacesApart


class PooledByPlace(PlacesApart):
    """Runs the convolutions on the whole parity query, and pools each place by itself before the shared last layers.

    For networks that average their last map, by a module or by a function, whoever wrote them: exactly the base model's
    convolutions, whatever sides are rounded. Near the borders between places, a place sees a little of its neighbour.

    Args:
        network: takes ``(N, C, H, W)``; its one average over a whole map is replaced.
        grid: where places are.
        shape: ``(C, H, W)``.

    Raises:
        ValueError: it has no such pooling, the map that it pools has fewer rows or columns than the grid, or what
            follows needs to know how many images there are.
    """

    def __init__(self, network: nn.Module, grid: Grid, shape: Sequence[int]) -> None:
        super().__init__(network, grid)
        self.shape = tuple(shape)
        tried = _Tried(network, self.shape)
        if len(tried.averaged) != 1:
            raise ValueError(f"{type(network).__name__} averages {len(tried.averaged)} maps, not one")
        height, width = tried.averaged[0]
        if height < grid.rows or width < grid.columns:
            raise ValueError(f"a map of {height}x{width} has no room for {grid.rows}x{grid.columns} places")
        tried.by_place(grid)
        modules = [name for name, module in network.named_modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
        self.by_module = len(modules) == 1
        if self.by_module:
            parent, _, last = modules[0].rpartition(".")
            setattr(
                network.get_submodule(parent), last, PoolPlaces(grid, network.get_submodule(modules[0]).output_size)
            )

    @property
    def seen_shape(self) -> tuple[int, ...]:
        return self.shape

    def forward(self, parities: Tensor) -> Tensor:
        with nullcontext() if self.by_module else _ByPlace(self.grid):
            outputs: Tensor = self.network(parities)
        return outputs.view(len(parities), -1)


class PoolPlaces(nn.Module):
    """An adaptive average of each place instead of one of all, ``(B, C, h, w) -> (B * k, C, *size)``."""

    def __init__(self, grid: Grid, size: Any) -> None:
        super().__init__()
        self.grid = grid
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, maps: Tensor) -> Tensor:
        return pool_places(maps, self.grid, self.size)


def pool_places(maps: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Averages of each place, ``(B, C, h, w) -> (B * k, C, *size)``."""
    if size == (1, 1):
        means = F.adaptive_avg_pool2d(maps, (grid.rows, grid.columns)).flatten(2)[:, :, : grid.k]
        return means.transpose(1, 2).reshape(len(maps) * grid.k, maps.shape[1], 1, 1)
    rows, columns = _parts(maps.shape[-2], grid.rows), _parts(maps.shape[-1], grid.columns)
    places = [F.adaptive_avg_pool2d(maps[:, :, row, column], size) for row in rows for column in columns]
    return torch.stack(places[: grid.k], 1).flatten(0, 1)


def _parts(side: int, count: int) -> list[slice]:
    """A side in parts of about the same length."""
    return [slice(side * part // count, -(-side * (part + 1) // count)) for part in range(count)]


class _Averages(TorchFunctionMode):
    """Notices averages over whole maps, as functions and modules of PyTorch take them."""

    def pooled(self, maps: Tensor, size: tuple[int, int], keep: bool) -> Tensor | None:
        """What is given in the place of an average of a size; None: the average itself.

        Args:
            maps: ``(N, C, h, w)``.
            size: of the result.
            keep: whether the result has as many dimensions as the maps.
        """
        raise NotImplementedError

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        read = _READERS.get(func)
        named = {"maps" if name == "input" else name: value for name, value in given.items()}
        found = None if read is None else read(*args, **named)
        if found is not None:
            maps, size, keep = found
            instead = self.pooled(maps, size, keep)
            if instead is not None:
                return instead
        return func(*args, **given)


class _Noticed(_Averages):
    def __init__(self) -> None:
        super().__init__()
        self.maps: list[tuple[int, int]] = []

    def pooled(self, maps: Tensor, size: tuple[int, int], keep: bool) -> Tensor | None:
        self.maps.append((maps.shape[-2], maps.shape[-1]))
        return None


class _ByPlace(_Averages):
    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def pooled(self, maps: Tensor, size: tuple[int, int], keep: bool) -> Tensor | None:
        means = pool_places(maps, self.grid, size)
        return means if keep else means.flatten(1)


Found = tuple[Tensor, tuple[int, int], bool] | None


def _mean(maps: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Found:
    if not isinstance(maps, Tensor) or maps.dim() != 4 or not isinstance(dim, Sequence):
        return None
    return (maps, (1, 1), keepdim) if {one % 4 for one in dim} == {2, 3} else None


def _adaptive(maps: Any, output_size: Any, **_: Any) -> Found:
    if not isinstance(maps, Tensor) or maps.dim() != 4:
        return None
    pair = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    return None if None in pair else (maps, (pair[0], pair[1]), True)


def _window(maps: Any, kernel_size: Any, *_: Any, **__: Any) -> Found:
    if not isinstance(maps, Tensor) or maps.dim() != 4:
        return None
    pair = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    return (maps, (1, 1), True) if pair == tuple(maps.shape[-2:]) and pair != (1, 1) else None


_READERS: dict[Any, Callable[..., Found]] = {
    torch.mean: _mean,
    Tensor.mean: _mean,
    F.adaptive_avg_pool2d: _adaptive,
    F.avg_pool2d: _window,
}


class _Tried:
    """A copy of a network, tried out on images of a shape ``(C, H, W)``.

    Attributes:
        averaged: heights and widths of the maps that it averages.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        self._network = copy.deepcopy(network).eval()
        device = next((weight.device for weight in self._network.parameters()), torch.device("cpu"))
        self._images = torch.zeros(2, *shape, device=device)
        with torch.no_grad(), _Noticed() as noticed:
            self._outputs = self._network(self._images)
        self.averaged = noticed.maps

    @torch.no_grad()
    def by_place(self, grid: Grid) -> None:
        """Find out whether what follows the average goes on with each place as if it were an image.

        Raises:
            ValueError: it does not: some networks give the result of an average a shape with the number of images.
        """
        try:
            with _ByPlace(grid):
                shape = tuple(self._network(self._images).shape)
            expected = (len(self._images) * grid.k, *self._outputs.shape[1:])
        except Exception as error:  # it may be anybody's network, which fails in whatever way it likes
            raise ValueError(str(error)) from error
        if shape != expected:
            raise ValueError(f"places give {shape}, expected {expected}")
