"""Progress bars: in a terminal, in a notebook, and as a line now and then where nobody watches."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import TqdmWarning
from tqdm.std import tqdm

UNWATCHED_S = 30.0
"""Where nobody watches, a line so often keeps logs short."""


def bar(
    name: str,
    total: int | None,
    unit: str,
    *,
    initial: int = 0,
    interval_s: float = 0.2,
    show: bool = True,
    **more: Any,
) -> "tqdm[Any]":
    """A progress bar, to be closed by whoever asked for it.

    Args:
        name: what it is of.
        total: how many units there are; None: nobody knows.
        unit: what is counted.
        initial: how many are done already.
        interval_s: how often it moves where somebody watches.
        show: whether there is one at all; otherwise what is returned shows nothing.
        more: further arguments of tqdm's.
    """
    notebook = "ipykernel" in sys.modules
    watched = notebook or sys.stderr.isatty()
    kind = _of_notebooks() if notebook else tqdm
    made: tqdm[Any] = kind(
        total=total,
        initial=initial,
        desc=name,
        unit=unit,
        mininterval=interval_s if watched else UNWATCHED_S,
        maxinterval=interval_s if watched else UNWATCHED_S,
        dynamic_ncols=watched and not notebook,
        disable=not show,
        **more,
    )
    return made


def _of_notebooks() -> type[Any]:
    """A bar of widgets where a notebook has them, otherwise one of characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # it says that widgets are not installed
        from tqdm.auto import tqdm as fitting

        return fitting


@contextmanager
def progress(name: str, total: int | None, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar over queries inside the block; gives the function that moves it to a number of queries.

    Args:
        name: what stands before the bar.
        total: queries in all; None: not known in advance.
        shown: false: show nothing.
    """
    made = bar(f"{name:<18}", total, "query", show=shown)

    def move(answered: int) -> None:
        made.update(answered - made.n)

    try:
        yield move
    finally:
        made.close()
