"""Concatenation encoder: the group's images are shrunk and tiled into one image (ParM, section 4.2.3)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.coding.encoder import Encoder
from parity_exp.coding.grid import Grid
from parity_exp.coding.side_by_side import SideBySideEncoder
from parity_exp.coding.views import Views


class ConcatenationEncoder(Encoder):
    """Shrinks each image by antialiased bilinear interpolation and tiles the group into one image.

    The grid is the smallest one that holds k cells: ``ceil(sqrt(k))`` columns, ``ceil(k / columns)`` rows, filled
    row by row. So k = 2 is side by side, k = 4 the quadrants, as in the paper; unused cells stay zero. Where the
    image does not divide by the grid, cells are rounded down and the rest of the image stays zero.

    With r > 1 there are r pictures, and ``views`` says how they differ. Which query has which cell is the same in all
    of them: places that are kept apart are each computed from their own cell, wherever that is.

    Args:
        views: ``same``: every parity model sees the same picture; ``mirrored``: the second sees every query with left
            and right changed, the third upside down, the fourth both, and so on; ``shifted``: queries are shrunk
            between other pixels, the j-th moved by j / r of the pixels that become one.

    Raises:
        ValueError: queries that are not ``(C, H, W)`` images, or images with fewer pixels a side than cells.
    """

    keeps_queries_apart = True
    colour = "#cc6677"
    of_tokens = SideBySideEncoder

    def __init__(
        self,
        k: int,
        r: int,
        query_shape: Sequence[int],
        generator: Tensor | None = None,
        views: Views = "same",
    ) -> None:
        super().__init__(k, r, query_shape, generator)
        if len(self.query_shape) != 3:
            raise ValueError(f"concatenation needs image queries (C, H, W), not queries of shape {self.query_shape}")
        channels, height, width = self.query_shape
        self.columns = math.ceil(math.sqrt(k))
        self.rows = math.ceil(k / self.columns)
        self.cell = (height // self.rows, width // self.columns)
        if 0 in self.cell:
            raise ValueError(f"{height}x{width} images are too small for a grid of {self.rows}x{self.columns} cells")
        self.views = views
        self.different = 1 if views == "same" else r  # pictures of a group
        self.prepared_shape = (self.different * channels, *self.cell)
        self.grid = Grid(k, self.rows, self.columns, self.cell)

    def prepare(self, queries: Tensor) -> Tensor:
        """The views of each query, one behind the other in its channels."""
        if self.different == 1:
            return self._view(queries, 0)
        return torch.cat([self._view(queries, row) for row in range(self.r)], dim=1)

    def _view(self, queries: Tensor, row: int) -> Tensor:
        """Queries ``(N, C, H, W)`` as the parity query of a row shows them, ``(N, C, *cell)``."""
        if self.views == "shifted" and row:
            queries = _moved(queries, [round(row * side / (self.r * small)) for side, small in self._sides(queries)])
        small = F.interpolate(queries, size=self.cell, mode="bilinear", antialias=True)
        turned = [axis for axis, bit in ((-1, 1), (-2, 2)) if row & bit] if self.views == "mirrored" else []
        return small.flip(turned) if turned else small

    def _sides(self, queries: Tensor) -> list[tuple[int, int]]:
        return list(zip(queries.shape[2:], self.cell, strict=True))

    def forward(self, prepared: Tensor) -> Tensor:
        batch, k, channels, height, width = prepared.shape
        if self.different > 1:  # each view as a group of its own
            prepared = prepared.unflatten(2, (self.r, -1)).transpose(1, 2).flatten(0, 1)
            channels //= self.r
        cells = self.rows * self.columns
        if k < cells:
            prepared = torch.cat([prepared, prepared.new_zeros(len(prepared), cells - k, channels, height, width)], 1)
        grid = prepared.view(-1, self.rows, self.columns, channels, height, width)
        picture = grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, self.rows * height, self.columns * width)
        margin_h = self.query_shape[1] - picture.shape[2]
        margin_w = self.query_shape[2] - picture.shape[3]
        if margin_h or margin_w:
            picture = F.pad(picture, (0, margin_w, 0, margin_h))
        return picture.unflatten(0, (batch, self.different)).expand(-1, self.r, -1, -1, -1)

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        height, width = self.cell
        cells = self._view(torch.stack(list(queries)), row)
        if (
            self.k < self.rows * self.columns
            or self.rows * height != out.shape[1]
            or self.columns * width != out.shape[2]
        ):
            out.zero_()
        for place in range(self.k):
            top, left = place // self.columns * height, place % self.columns * width
            out[:, top : top + height, left : left + width] = cells[place]


def _moved(images: Tensor, by: Sequence[int]) -> Tensor:
    """Images moved up and to the left by so many pixels; what is missing at the other ends repeats the last ones."""
    for axis, pixels in zip((-2, -1), by, strict=True):
        last = images.narrow(axis, images.shape[axis] - 1, 1)
        rest = images.narrow(axis, pixels, images.shape[axis] - pixels)
        images = torch.cat([rest, *[last] * pixels], dim=axis)
    return images
