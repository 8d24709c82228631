"""Arrivals from a file: measured elsewhere, or left by an earlier run."""

import logging
from array import array
from pathlib import Path

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.files.csv_rows import each_row, finite_number
from parity_exp.files.writing import write_text
from parity_exp.load.load import LONGEST_S, MOST_QUERIES, Load
from parity_exp.ranges import AnyQueries, Positive, Queries, Text

log = logging.getLogger(__name__)

HEADER = "scheduled_s"

LATEST_START_S, LATEST_START_GAPS = 60.0, 10.0
"""A first arrival later than this, and than so many mean gaps, is not counted from the beginning of the run."""


class TraceLoad(Load):
    """The arrival times of a CSV file.

    Args:
        path: the file; see :func:`read_arrivals`.
        queries: how many are measured; None: all that come after the warm-up.
        warmup: how many at the file's beginning are left out of the results.
        slo_ms: how long after its scheduled arrival a query gets the default prediction; None: never.

    Raises:
        SettingError: a setting that cannot be, with its name.
        UserError: the file is missing or wrong.
    """

    def __init__(
        self,
        path: Text | Path | None,
        queries: Queries | None = None,
        warmup: AnyQueries = 0,
        slo_ms: Positive | None = None,
    ) -> None:
        if path is None:
            raise SettingError(
                f"{{path}}={{null}}: expected a CSV file of arrival times in seconds, with {HEADER} in its first row"
            )
        scheduled_s = read_arrivals(path)
        rest = len(scheduled_s) - warmup
        if rest < 1:
            raise SettingError(f"{{warmup}}={warmup}: expected fewer than the {len(scheduled_s)} arrivals of {path}")
        super().__init__(rest if queries is None else queries, warmup, slo_ms)
        if self.queries > rest:
            raise SettingError(
                f"{{queries}}={queries}: expected at most {rest}, as {path} has {len(scheduled_s)} arrivals "
                f"and {{warmup}}={warmup}"
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
    """Read arrival times from CSV: one column of seconds, ascending, header or none.

    They count from the beginning of the run. Where the first arrival is so late that they cannot, as in seconds since
    1970, they are counted from it instead, and a warning says so.

    Raises:
        UserError: the file is missing or wrong, with its name and the row's number in the file.
    """
    scheduled_s = array("d")
    for place, (number, cells) in enumerate(each_row(path)):
        if place == 0 and cells == [HEADER]:
            continue
        if place == 0 and len(cells) == 1 and finite_number(cells[0]) is None:
            raise UserError(f"{path}: row {number}: {cells[0]}, expected {HEADER} or a time in seconds")
        if len(cells) != 1:
            raise UserError(f"{path}: row {number}: {len(cells)} columns, expected one, {HEADER}")
        time_s = finite_number(cells[0])
        if time_s is None or time_s < 0:
            raise UserError(
                f"{path}: row {number}: {cells[0] or 'an empty cell'}, expected a time of 0 or more seconds"
            )
        if scheduled_s and time_s < scheduled_s[-1]:
            raise UserError(f"{path}: row {number}: {cells[0]} comes before the time above it; sort the file")
        if time_s > LONGEST_S:
            raise UserError(
                f"{path}: row {number}: {cells[0]}, expected a time in seconds, at most {LONGEST_S:g}; if these are "
                "milliseconds or less since 1970, divide them"
            )
        if len(scheduled_s) == MOST_QUERIES:
            raise UserError(f"{path}: row {number}: expected at most {MOST_QUERIES:,} arrivals")
        scheduled_s.append(time_s)
    if not scheduled_s:
        raise UserError(f"{path}: it has no arrivals")
    times_s = np.array(scheduled_s)
    first_s = float(times_s[0])
    # A load begins within a few of its gaps.
    if first_s > max(LATEST_START_S, LATEST_START_GAPS * (times_s[-1] - first_s) / max(len(times_s) - 1, 1)):
        log.warning(
            "%s: the first arrival is at %.10g s; times are counted from it, as if it were the beginning of the run",
            path, first_s,
        )  # fmt: skip
        times_s -= first_s
    return times_s
