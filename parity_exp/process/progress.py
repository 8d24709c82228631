"""A progress bar over queries."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar inside the block; gives the function that moves it to a number of queries."""
    watched = sys.stderr.isatty()
    interval_s = 0.2 if watched else 30  # where nobody watches a terminal, a line now and then keeps logs short
    bar = tqdm(
        total=total,
        desc=f"{name:<18}",
        unit="query",
        mininterval=interval_s,
        maxinterval=interval_s,
        dynamic_ncols=watched,
    )

    def move(answered: int) -> None:
        bar.update(answered - bar.n)

    try:
        yield move
    finally:
        bar.close()
