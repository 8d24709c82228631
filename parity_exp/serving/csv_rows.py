"""CSV files that users give: read row by row, so that what is wrong can be named by its place."""

import csv
import math
from pathlib import Path

from parity_exp.errors import UserError


def read_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Rows that are not blank, each with its number in the file (the first is 1), cells stripped of spaces.

    Raises:
        UserError: no such file, or it is not text, or has no rows at all.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file ({error})") from None
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        raise UserError(f"{path}: an empty file; expected a CSV file")
    return rows


def finite_number(text: str) -> float | None:
    """The number that a cell holds; None where it holds none, or one that is not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
