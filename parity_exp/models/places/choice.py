"""How places are kept apart in a network: as it allows, and at the cost of the base model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from parity_exp.coding.grid import Grid
from parity_exp.models.operations import operations
from parity_exp.models.places.apart import PlacesApart
from parity_exp.models.places.folded import Folded, leave_out_zeros
from parity_exp.models.places.patches import PatchesByPlace
from parity_exp.models.places.pooled import PooledByPlace

NetworkFactory = Callable[..., nn.Module]
"""Makes a network from ``input_shape`` and ``outputs``, and other settings of its class."""

MORE_OPERATIONS = 1.05
"""Operations of what sees smaller places, over the base model's, until it is small enough."""

MOST_OPERATIONS = 1.5
"""Above this it is not the base model's cost any more, and refused."""


class CannotKeepPlacesApartError(ValueError):
    """A network that cannot keep places apart, or only at several times the base model's cost."""


def places_apart(
    make: NetworkFactory,
    grid: Grid,
    shape: Sequence[int],
    outputs: int,
    cell_settings: Callable[[Grid], Mapping[str, Any]] | None = None,
) -> PlacesApart:
    """A parity model that keeps places apart, of an architecture.

    A transformer gets the patches of all places, a network that averages its last map averages each place, and other
    networks see one place after the other.

    Args:
        make: the architecture.
        grid: where places are.
        shape: ``(C, H, W)`` of a parity query.
        outputs: numbers in one prediction.
        cell_settings: gives settings of the architecture where it sees one place alone, which is smaller than an image.

    Raises:
        CannotKeepPlacesApartError: the architecture does not take parity queries, or no image as small as a cell, or
            cells together cost much more than an image.
    """
    shape = tuple(shape)
    whole = make(input_shape=shape, outputs=outputs)
    try:
        cost = operations(whole, shape)
    except Exception as error:
        # It may be anybody's network, which fails in whatever way it likes.
        raise CannotKeepPlacesApartError(f"it takes no queries of shape {shape}: {_in_a_line(error)}") from error
    for way in (lambda: PatchesByPlace(whole, grid, shape[0]), lambda: PooledByPlace(whole, grid, shape)):
        try:
            return way()
        except ValueError:
            continue
    return _Folding(make, whole, cost, grid, shape, outputs, cell_settings(grid) if cell_settings else {}).folded()


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Folding:
    """Finds out how large places can be for a network that sees one after the other.

    Networks that are only to be measured are made on the meta device, which takes no memory and draws nothing.
    """

    def __init__(
        self,
        make: NetworkFactory,
        whole: nn.Module,
        cost: int,
        grid: Grid,
        shape: tuple[int, ...],
        outputs: int,
        settings: Mapping[str, Any],
    ) -> None:
        self.make, self.whole, self.cost = make, whole, max(1, cost)
        self.grid, self.shape, self.outputs, self.settings = grid, shape, outputs, settings

    def folded(self) -> Folded:
        """The network with the largest places that cost no more than an image.

        Raises:
            CannotKeepPlacesApartError: there is none.
        """
        largest, *smaller = self._sizes()
        cost, any_size = self._relative_cost(largest)
        size = largest
        if cost > MORE_OPERATIONS and any_size and smaller:
            cost, size = self._largest_that_fits(cost, size, smaller)
        if cost > MOST_OPERATIONS:
            raise CannotKeepPlacesApartError(
                f"k={self.grid.k} places would take {cost:.1f} times the base model's operations, since it shrinks "
                "images of this size to a pixel long before its last layers"
            )
        return Folded(self._network(size), self.grid, self.shape[0], size)

    def _largest_that_fits(
        self, cost: float, size: tuple[int, int], smaller: list[tuple[int, int]]
    ) -> tuple[float, tuple[int, int]]:
        """Relative cost and size of the largest places that are cheap enough, or of the cheapest there are."""
        tried = {size: cost}
        first, last = 0, len(smaller) - 1
        middle = last  # the smallest: it says whether there is any
        while first <= last:
            try:
                tried[smaller[middle]], _ = self._relative_cost(smaller[middle])
            except CannotKeepPlacesApartError:  # too small
                last = middle - 1
            else:
                if tried[smaller[middle]] > MORE_OPERATIONS:
                    if middle == len(smaller) - 1:
                        break
                    first = middle + 1
                else:
                    last = middle - 1
            middle = (first + last) // 2
        fitting = [size for size, cost in tried.items() if cost <= MORE_OPERATIONS]
        chosen = max(fitting) if fitting else min(tried, key=lambda size: tried[size])
        return tried[chosen], chosen

    def _relative_cost(self, size: tuple[int, int]) -> tuple[float, bool]:
        """Operations of all places together over those of an image, and whether weights fit whatever the size."""
        try:
            network = self._measurable(size)
            together = self.grid.k * operations(network, (self.shape[0], *size))
        except Exception as error:
            height, width = self.grid.cell
            raise CannotKeepPlacesApartError(f"no place of {height}x{width} pixels: {_in_a_line(error)}") from error
        return together / self.cost, self._looks_at_any_size(network)

    def _network(self, size: tuple[int, int]) -> nn.Module:
        shape = (self.shape[0], *size)
        network = self.make(input_shape=shape, outputs=self.outputs, **self.settings)
        if getattr(network, "seen_size", size) != size:
            raise ValueError("it takes no images that small")
        leave_out_zeros(network, shape)
        return network

    def _measurable(self, size: tuple[int, int]) -> nn.Module:
        try:
            with torch.device("meta"):
                return self._network(size)
        except (NotImplementedError, RuntimeError, TypeError):  # its class computes with weights while it is made
            with torch.random.fork_rng(devices=[]):
                return self._network(size)

    def _sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of a place as the network may get it, the largest first."""
        seen = getattr(self.whole, "seen_size", self.shape[1:])
        height, width = (
            cell * side / image for cell, side, image in zip(self.grid.cell, seen, self.shape[1:], strict=True)
        )
        shares = [percent / 100 for percent in range(100, 45, -5)]
        return list(dict.fromkeys((max(1, round(height * share)), max(1, round(width * share))) for share in shares))

    def _looks_at_any_size(self, network: nn.Module) -> bool:
        """Whether its weights are the same whatever the size of images."""
        theirs = {name: weight.shape for name, weight in self.whole.named_parameters()}
        return theirs == {name: weight.shape for name, weight in network.named_parameters()}
