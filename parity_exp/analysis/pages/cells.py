"""Tables of pages from tables of numbers."""

from collections.abc import Mapping

import pandas as pd

from parity_exp.analysis.pages.page import Table


def table_of(table: pd.DataFrame, title: str, folded: bool = False) -> Table:
    """A table as it stands, numbers as people read them."""
    columns = [str(name).replace("_", " ") for name in table.columns]
    return Table(columns, [[cell(value) for value in row] for row in table.itertuples(index=False)], title, folded)


def cell(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return " ".join(cell(entry) for entry in value)
    return "-" if value is None else str(value)
