"""Concatenation encoder: the group's images are shrunk and tiled into one image (ParM, section 4.2.3)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.coding.encoder import Encoder
from parity_exp.coding.grid import Grid
from parity_exp.coding.side_by_side import SideBySideEncoder


class ConcatenationEncoder(Encoder):
    """Shrinks each image by antialiased bilinear interpolation and tiles the group into one image.

    The grid is the smallest one that holds k cells: ``ceil(sqrt(k))`` columns, ``ceil(k / columns)`` rows, filled
    row by row. So k = 2 is side by side, k = 4 the quadrants, as in the paper; unused cells stay zero. Where the
    image does not divide by the grid, cells are rounded down and the rest of the image stays zero.

    With r > 1 every parity model sees the same picture and learns another row of the generator matrix. To show them the
    group in other orders or upside down gains nothing (measured: docs/results/experiments.md).

    Raises:
        ValueError: queries that are not ``(C, H, W)`` images, or images with fewer pixels a side than cells.
    """

    keeps_queries_apart = True
    colour = "#cc6677"
    of_tokens = SideBySideEncoder

    def __init__(self, k: int, r: int, query_shape: Sequence[int], generator: Tensor | None = None) -> None:
        super().__init__(k, r, query_shape, generator)
        if len(self.query_shape) != 3:
            raise ValueError(f"concatenation needs image queries (C, H, W), not queries of shape {self.query_shape}")
        channels, height, width = self.query_shape
        self.columns = math.ceil(math.sqrt(k))
        self.rows = math.ceil(k / self.columns)
        self.cell = (height // self.rows, width // self.columns)
        if 0 in self.cell:
            raise ValueError(f"{height}x{width} images are too small for a grid of {self.rows}x{self.columns} cells")
        self.prepared_shape = (channels, *self.cell)
        self.grid = Grid(k, self.rows, self.columns, self.cell)

    def prepare(self, queries: Tensor) -> Tensor:
        return F.interpolate(queries, size=self.cell, mode="bilinear", antialias=True)

    def forward(self, prepared: Tensor) -> Tensor:
        batch, k, channels, height, width = prepared.shape
        cells = self.rows * self.columns
        if k < cells:
            prepared = torch.cat([prepared, prepared.new_zeros(batch, cells - k, channels, height, width)], dim=1)
        grid = prepared.view(batch, self.rows, self.columns, channels, height, width)
        picture = grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, self.rows * height, self.columns * width)
        margin_h = self.query_shape[1] - picture.shape[2]
        margin_w = self.query_shape[2] - picture.shape[3]
        if margin_h or margin_w:
            picture = F.pad(picture, (0, margin_w, 0, margin_h))
        return picture.unsqueeze(1).expand(-1, self.r, -1, -1, -1)

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        height, width = self.cell
        cells = self.prepare(torch.stack(list(queries)))
        if (
            self.k < self.rows * self.columns
            or self.rows * height != out.shape[1]
            or self.columns * width != out.shape[2]
        ):
            out.zero_()
        for place in range(self.k):
            top, left = place // self.columns * height, place % self.columns * width
            out[:, top : top + height, left : left + width] = cells[place]
