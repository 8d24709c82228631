"""The page of a comparison of codes with their rivals: one table, one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.rivals import rivals_figure
from parity_exp.analysis.pages.page import Page, Picture, Section, Table, picture
from parity_exp.files.writing import write_text
from parity_exp.recordings.names import FIGURES, REPORT

NAME = "rivals"

CAPTION = (
    "A row a rival, those on top that answer late queries best. Left: how often what answers a late query is right, "
    "beside the base model's own accuracy (dashed). Middle: the latency that one query in 100 (filled) and one in "
    "1,000 (open) exceeds. Right: the tasks that instances do for each query. Colours are the policies'."
)

HEADINGS = {
    "available_accuracy": "available accuracy",
    "degraded_accuracy": "degraded accuracy",
    "late": "answered late",
    "overall_accuracy": "overall accuracy",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p99.9_ms": "p99.9 ms",
    "tasks_per_query": "tasks a query",
    "extra_instances": "extra instances",
}


@dataclass(frozen=True)
class RivalsPage(Page):
    """What the page says.

    Attributes:
        table: of :func:`parity_exp.analysis.tables.rivals.rivals_table`.
        pictures: the picture of it.
    """

    table: pd.DataFrame
    pictures: Sequence[Picture]

    @property
    def title(self) -> str:
        return "Codes and their rivals"

    @property
    def summary(self) -> list[str]:
        best = self.table.iloc[int(self.table["p99.9_ms"].to_numpy().argmin())]
        good = self.table.iloc[int(self.table["degraded_accuracy"].to_numpy().argmax())]
        return [
            f"{best['name']} has the lowest p99.9: {best['p99.9_ms']:.1f} ms at {best['tasks_per_query']:.2f} tasks a "
            f"query, where {best['degraded_accuracy']:.4f} of the late answers are right.",
            f"{good['name']} has the best late answers: {good['degraded_accuracy']:.4f} of them are right, at a p99.9 "
            f"of {good['p99.9_ms']:.1f} ms.",
        ]

    @property
    def warnings(self) -> list[str]:
        extra = sorted({int(count) for count in self.table["extra_instances"]})
        if len(extra) < 2:
            return []
        return [f"The policies do not have equally many extra machines: {', '.join(map(str, extra))}."]

    def sections(self) -> list[Section]:
        columns = ["rival", "policy", *HEADINGS.values()]
        rows = [[str(row["name"]), str(row["policy"]), *_numbers(row)] for row in self.table.to_dict("records")]
        text = [
            "Overall accuracy counts late answers by how many queries the simulation answered so.",
            "Of codes over copies of the base model every answer is decoded, and counts as late.",
        ]
        return [Section(NAME, "Codes and their rivals", text, [Table(columns, rows, words=2)], self.pictures)]


def _numbers(row: Mapping[Any, Any]) -> list[str]:
    digits = {name: 1 if name.endswith("_ms") else 4 for name in HEADINGS}
    digits |= {"tasks_per_query": 2, "extra_instances": 0}
    return [f"{row[name]:.{digits[name]}f}" for name in HEADINGS]


def write_rivals(table: pd.DataFrame, folder: Path) -> Path:
    """Write ``rivals.csv``, ``figures/rivals.png`` and ``report.html``; return the page's path."""
    write_text(folder / f"{NAME}.csv", table.to_csv(index=False))
    (path,) = save({NAME: rivals_figure(table)}, folder / FIGURES)
    page = folder / REPORT
    RivalsPage(table, [picture(NAME, path.read_bytes(), CAPTION)]).write(page)
    return page
