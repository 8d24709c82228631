"""The grid in which an encoder lays the queries of a group side by side."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Where the queries of a group are in a parity query that shows them side by side.

    Attributes:
        k: queries; they fill the grid row by row.
        rows, columns: of the grid, with at least k cells.
        cell: height and width of a cell. What is right of the last column or below the last row belongs to no query.
    """

    k: int
    rows: int
    columns: int
    cell: tuple[int, int]

    def cut(self, pictures: Tensor) -> Tensor:
        """The queries in parity queries, ``(B, C, H, W) -> (B * k, C, *cell)``."""
        batch, channels = pictures.shape[:2]
        height, width = self.cell
        used = pictures[:, :, : self.rows * height, : self.columns * width]
        cells = used.reshape(batch, channels, self.rows, height, self.columns, width).permute(0, 2, 4, 1, 3, 5)
        return cells.flatten(1, 2)[:, : self.k].reshape(batch * self.k, channels, height, width)
