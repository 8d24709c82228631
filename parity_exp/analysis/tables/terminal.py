"""Tables in the terminal."""

import sys

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity_exp.process.side_channels import beside


def show(title: str, table: pd.DataFrame, footer: str | None = None) -> None:
    """Print a table to standard output, numbers with four digits, with a line below it.

    Numbers stand to the right, also those that are text already, such as "12.5 %".
    """
    with beside("table in the terminal"):
        _print(title, table, footer)


def _print(title: str, table: pd.DataFrame, footer: str | None) -> None:
    # Text is shown as it stands: to rich, [none] would be a style and :key: a picture.
    width = None if sys.stdout.isatty() else 200
    console = Console(file=sys.stdout, soft_wrap=False, width=width, markup=False, emoji=False)
    shown = Table(title=Text(title), title_justify="left", title_style="bold")
    for name in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[name]) or all(
            str(cell)[:1] in "-0123456789" for cell in table[name]
        )
        shown.add_column(Text(str(name)), justify="right" if numeric else "left", overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(f"{value:.4f}" if isinstance(value, float) else str(value)) for value in row))
    console.print(shown)
    if footer:
        console.print(Text(footer), soft_wrap=True)
