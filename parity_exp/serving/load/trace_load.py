"""Arrivals from a file: measured elsewhere, or left by an earlier run."""

from pathlib import Path

import numpy as np

from parity_exp.errors import ConfigError, UserError
from parity_exp.files import write_text
from parity_exp.serving.checks import whole
from parity_exp.serving.csv_rows import finite_number, read_rows
from parity_exp.serving.load.load import Load

HEADER = "scheduled_s"


class TraceLoad(Load):
    """The arrival times of a CSV file.

    Args:
        path: the file; see :func:`read_arrivals`.
        queries: how many are measured; None: all that come after the warm-up.
        warmup: how many at the file's beginning are left out of the results.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.

    Raises:
        ConfigError: a setting that cannot be, with its key.
        UserError: the file is missing or wrong.
    """

    def __init__(
        self, path: str | None, queries: int | None = None, warmup: int = 0, slo_ms: float | None = None
    ) -> None:
        if path is None:
            raise ConfigError(
                f"load.path=null: expected a CSV file of arrival times in seconds, with {HEADER} in its first row"
            )
        scheduled_s = read_arrivals(path)
        rest = len(scheduled_s) - whole("load.warmup", warmup, 0)
        if rest < 1:
            raise ConfigError(f"load.warmup={warmup}: expected fewer than the {len(scheduled_s)} arrivals of {path}")
        super().__init__(rest if queries is None else queries, warmup, slo_ms)
        if self.queries > rest:
            raise ConfigError(
                f"load.queries={queries}: expected at most {rest}, as {path} has {len(scheduled_s)} arrivals "
                f"and load.warmup={warmup}"
            )
        self.scheduled_s = scheduled_s[: self.total]

    def rate(self, service_s: float, base_instances: int) -> float:
        return len(self.scheduled_s) / max(float(self.scheduled_s[-1]), service_s)

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        return self.scheduled_s.copy()


def write_arrivals(path: str | Path, scheduled_s: np.ndarray) -> None:
    """Write arrival times as CSV; they come back from :func:`read_arrivals` exactly as they are."""
    write_text(path, "\n".join([HEADER, *map(repr, scheduled_s.tolist())]) + "\n")


def read_arrivals(path: str | Path) -> np.ndarray:
    """Read arrival times from CSV: one column, seconds from the beginning of the run, ascending, header or none.

    Raises:
        UserError: the file is missing or wrong, with its name and the row's number in the file.
    """
    rows = read_rows(path)
    if rows[0][1] == [HEADER]:
        rows = rows[1:]
    elif len(rows[0][1]) == 1 and finite_number(rows[0][1][0]) is None:
        raise UserError(f"{path}: row 1: {rows[0][1][0]}, expected {HEADER} or a time in seconds")
    if not rows:
        raise UserError(f"{path}: it has no arrivals")
    scheduled_s: list[float] = []
    for number, cells in rows:
        if len(cells) != 1:
            raise UserError(f"{path}: row {number}: {len(cells)} columns, expected one, {HEADER}")
        time_s = finite_number(cells[0])
        if time_s is None or time_s < 0:
            raise UserError(
                f"{path}: row {number}: {cells[0] or 'an empty cell'}, expected a time of 0 or more seconds"
            )
        if scheduled_s and time_s < scheduled_s[-1]:
            raise UserError(f"{path}: row {number}: {cells[0]} comes before the time above it; sort the file")
        scheduled_s.append(time_s)
    return np.array(scheduled_s)
