"""The traces of clusters of several sizes, told apart and put together into the rows of one file.

Policies have clusters of different sizes, and each meets the trace that is drawn for a cluster of its own size: so what
a policy meets does not depend on which others it is compared with. In the file a row that holds for every cluster that
has its instance stands once; one that holds for clusters of one size only says which, in the column ``cluster``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from parity_exp.disturbances.trace import Disturbance

Worlds = Mapping[int, Sequence[Disturbance]]
"""For each size of a cluster its trace; rows say nothing of clusters there."""


def in_order(rows: Iterable[Disturbance]) -> list[Disturbance]:
    """Rows by their start, in an order that their contents alone decide."""
    return sorted(
        rows,
        key=lambda row: (
            row.start_s, row.end_s, row.instance, row.kind, row.factor, row.extra_ms, row.cluster or 0,
        ),
    )  # fmt: skip


def has(instances: int, named: int | Disturbance) -> bool:
    """Whether a cluster of so many instances has an instance, or meets a row."""
    if isinstance(named, int):
        return named < instances
    return named.instance < instances and named.cluster in (None, instances)


def world_of(rows: Iterable[Disturbance], instances: int) -> list[Disturbance]:
    """The rows that hold for a cluster of so many instances, without saying so; those that hold for all are kept."""
    return [
        row if row.cluster is None else replace(row, cluster=None) for row in rows if row.cluster in (None, instances)
    ]


def put_together(worlds: Worlds) -> list[Disturbance]:
    """The rows of a file from which :func:`world_of` gives each cluster's trace again.

    Rows of instances that the smaller clusters do not have need not say so, and where there is one size, none does.
    """
    if len(worlds) == 1:
        return in_order(*worlds.values())
    counts = {size: Counter(rows) for size, rows in worlds.items()}
    together: list[Disturbance] = []
    for row in dict.fromkeys(row for rows in worlds.values() for row in rows):
        having = [size for size in worlds if row.instance < size] or list(worlds)
        shared = min(counts[size][row] for size in having)
        together += [row] * shared
        for size in having:
            together += [replace(row, cluster=size)] * (counts[size][row] - shared)
    return in_order(together)
