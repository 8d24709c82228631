"""Rows of CSV files by the names of their columns, and numbers that are what they should be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parity_exp.errors import UserError
from parity_exp.files.csv_rows import each_row, finite_number


@dataclass(frozen=True)
class Row:
    """A row of a file, and where it stands.

    Attributes:
        path: the file.
        number: of the row, from 1.
        cells: by the names of their columns.
    """

    path: str | Path
    number: int
    cells: Mapping[str, str]

    def amount(self, column: str) -> float:
        """A number of 0 or more.

        Raises:
            UserError: the cell holds none.
        """
        value = finite_number(self.cells[column])
        if value is None or value < 0:
            raise self.refuse(column, "a number of 0 or more")
        return value

    def refuse(self, column: str, wanted: str) -> UserError:
        """The line that refuses a cell."""
        found = self.cells[column] or "an empty cell"
        return UserError(f"{self.path}: row {self.number}, column {column}: {found}, expected {wanted}")


def rows_of(path: str | Path, needed: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file whose first row names its columns; there may be others than the needed ones.

    Raises:
        UserError: the file is missing or no CSV file, a column is missing, or a row has too few or too many cells.
    """
    header: list[str] = []
    for number, cells in each_row(path):
        if not header:
            header = cells
            missing = [name for name in needed if name not in header]
            if missing:
                raise UserError(
                    f"{path}: row {number}: column {missing[0]} is missing; expected a first row with the columns "
                    f"{', '.join(needed)}"
                )
            continue
        if len(cells) != len(header):
            raise UserError(f"{path}: row {number}: {len(cells)} cells, expected {len(header)}: {', '.join(header)}")
        yield Row(path, number, dict(zip(header, cells, strict=True)))
