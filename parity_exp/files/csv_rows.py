"""CSV files that users give: read row by row, so that what is wrong can be named by its place."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from parity_exp.errors import UserError

NO_VALUE = ("na", "n/a", "#n/a", "null", "none", "nil", "missing")
"""What programs write where a value is missing."""


def read_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Rows that are not blank, each with its number in the file (the first is 1), cells stripped of spaces.

    Raises:
        UserError: no such file, or it is not text, or has no rows at all.
    """
    return list(each_row(path))


def each_row(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of :func:`read_rows` one at a time, for files that as lists would take many times their size.

    Raises:
        UserError: likewise, when it is come to.
    """
    empty = True
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    empty = False
                    yield reader.line_num, cells
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file ({error})") from None
    if empty:
        raise UserError(f"{path}: an empty file; expected a CSV file")


def is_name(text: str) -> bool:
    """Whether a cell may be a column's name: no number, nothing like one ("12 ms"), nor what stands for none."""
    if not any(map(str.isalpha, text)) or text[0] in "+-." or text[0].isdigit() or text.lower() in NO_VALUE:
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False  # nan and inf


def finite_number(text: str) -> float | None:
    """The number that a cell holds; None where it holds none, or one that is not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
