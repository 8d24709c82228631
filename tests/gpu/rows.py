"""What a check on a GPU comes to: rows of one table, each with the baseline it was measured against."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what was measured.
        value: the figure.
        unit: its unit.
        baseline: what it is compared with, measured in the same run, in the same unit; None without one.
        baseline_is: what the baseline is.
        wanted: what the figure, or its ratio to the baseline, is to be, in words.
        holds: whether it is; None where nothing is wanted.
    """

    what: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_is: str = ""
    wanted: str = ""
    holds: bool | None = None


def table(rows: list[Row]) -> str:
    """All rows as text."""
    frame = pd.DataFrame(
        {
            "what": row.what,
            "value": f"{row.value:,.4g} {row.unit}",
            "baseline": "" if row.baseline is None else f"{row.baseline:,.4g} ({row.baseline_is})",
            "ratio": "" if not row.baseline else f"{row.value / row.baseline:.2f}",
            "wanted": row.wanted,
            "holds": {None: "", True: "yes", False: "NO"}[row.holds],
        }
        for row in rows
    )
    return frame.to_string(index=False)
