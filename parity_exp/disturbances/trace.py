"""The straggler trace: everything that will happen to the cluster, written down before the run begins.

A trace is a list of rows, each a :class:`Disturbance` of one instance. It is made ahead of the run from a seed, for a
cluster of so many instances: policies with as many meet the same one (common random numbers), and no policy's trace
depends on the others. All traces of an experiment are written to the run directory as one file (see
:mod:`~parity_exp.disturbances.worlds`), and can be read back and injected again.

Times are seconds from the beginning of the run, the zero from which scheduled arrivals count too.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from parity_exp.disturbances.timeline import FAULTS, Fault, Timeline
from parity_exp.errors import UserError
from parity_exp.files.csv_rows import finite_number, read_rows
from parity_exp.files.writing import write_text

SLOW, KILL, GONE, CONTENTION, TENANT = "slow", "kill", "gone", "contention", "tenant"
KINDS = (SLOW, KILL, GONE, CONTENTION, TENANT, *FAULTS)

COLUMNS = ("kind", "instance", "start_s", "end_s", "factor", "extra_ms")
CLUSTER = "cluster"
"""One more column, of files that hold the traces of clusters of several sizes."""

REQUIRED = ("instance", "start_s", "end_s")

LARGEST = 1e15
"""Numbers beyond this are no times, factors or instances; whole ones up to it are exact."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that happens to one instance.

    Attributes:
        kind: ``slow``: a task that the instance begins in ``[start_s, end_s)`` takes ``factor`` times as long, and
            then ``extra_ms`` longer; where rows overlap, factors multiply and extra times add up (see
            :class:`~parity_exp.disturbances.timeline.Timeline`). ``kill``: the instance is killed at ``start_s``.
            ``gone``: it is lost at ``start_s``, with what it has, and there again at ``end_s``.
            ``contention``: from ``start_s`` to ``end_s`` a real process competes for its device. ``tenant``: in that
            time a second service runs on its device. ``garbage``, ``stuck``, ``nan``: the outputs of a task that it
            begins in that time are spoilt (see :class:`~parity_exp.disturbances.timeline.Fault`).
        instance: which, from 0.
        start_s: when it begins.
        end_s: when it ends.
        factor: of ``slow`` rows, and the scale of ``garbage``; 1 in others.
        extra_ms: of ``slow`` rows; 0 in others.
        cluster: it happens only in clusters with so many instances; None: in all that have the instance.
    """

    kind: str
    instance: int
    start_s: float
    end_s: float
    factor: float = 1.0
    extra_ms: float = 0.0
    cluster: int | None = None


def timelines(rows: Iterable[Disturbance], instances: int) -> list[Timeline]:
    """What delays and spoils each instance's tasks; rows of instances that there are not are left out."""
    slowdowns: list[list[tuple[float, float, float, float]]] = [[] for _ in range(instances)]
    wrong: list[list[tuple[float, float, Fault]]] = [[] for _ in range(instances)]
    for row in rows:
        if row.instance >= instances:
            continue
        if row.kind == SLOW:
            slowdowns[row.instance].append((row.start_s, row.end_s, row.factor, row.extra_ms / 1000))
        elif row.kind in FAULTS:
            wrong[row.instance].append((row.start_s, row.end_s, Fault(row.kind, row.factor)))
    return [Timeline(*of_instance) for of_instance in zip(slowdowns, wrong, strict=True)]


def write_trace(path: str | Path, rows: Iterable[Disturbance]) -> None:
    """Write a trace as CSV; numbers come back from :func:`read_trace` exactly as they are."""
    write_text(path, trace_text(rows))


def trace_text(rows: Iterable[Disturbance]) -> str:
    """What :func:`write_trace` writes."""
    rows = list(rows)
    columns = (*COLUMNS, CLUSTER) if any(row.cluster is not None for row in rows) else COLUMNS
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    # None becomes an empty cell.
    writer.writerows([getattr(row, column) for column in columns] for row in rows)
    return text.getvalue()


def read_trace(path: str | Path, kinds: Collection[str] = KINDS) -> list[Disturbance]:
    """Read a trace from CSV.

    The file has a header and the columns ``instance, start_s, end_s``, one or both of ``factor`` and ``extra_ms``,
    where not all rows are ``slow``, ``kind``, and where rows are of clusters of one size only, ``cluster``; in any
    order. Empty cells of the last four are neutral.

    Args:
        path: the file.
        kinds: the kinds that are known.

    Raises:
        UserError: the file is missing or wrong, with its name, the row's number in the file, and the column.
    """
    (_, header), *body = read_rows(path)
    _check_header(path, header)
    rows = []
    for number, cells in body:
        if len(cells) != len(header):
            raise UserError(f"{path}: row {number}: {len(cells)} cells, but the header names {len(header)} columns")
        rows.append(_Row(path, number, dict(zip(header, cells, strict=True))).disturbance(kinds))
    return rows


def _check_header(path: str | Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in (*COLUMNS, CLUSTER)]
    missing = [name for name in REQUIRED if name not in header]
    if unknown:
        raise UserError(f"{path}: row 1: unknown column {unknown[0]!r}; columns are {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise UserError(f"{path}: row 1: a column occurs twice in {', '.join(header)}")
    if missing:
        raise UserError(f"{path}: row 1: column {missing[0]} is missing; needed are {', '.join(REQUIRED)}")
    if not {"kind", "factor", "extra_ms"} & set(header):
        raise UserError(f"{path}: row 1: column factor or extra_ms is missing; one of them is needed")


@dataclass(frozen=True)
class _Row:
    """A row of a file, and where it stands."""

    path: str | Path
    number: int
    cells: dict[str, str]

    def disturbance(self, kinds: Collection[str]) -> Disturbance:
        kind = self.cells.get("kind") or SLOW
        if kind not in kinds:
            raise self._refuse("kind", f"one of {', '.join(kinds)}")
        start_s = self._number("start_s", lambda start: start >= 0, "a time of 0 or more seconds")
        return Disturbance(
            kind=kind,
            instance=int(self._number("instance", _is_index, "a whole number, 0 or more")),
            start_s=start_s,
            end_s=self._number("end_s", lambda end: end >= start_s, f"a time not before start_s={start_s:g}"),
            factor=self._number("factor", lambda factor: factor > 0, "a number above 0", neutral=1.0),
            extra_ms=self._number("extra_ms", lambda extra: extra >= 0, "0 or more milliseconds", neutral=0.0),
            cluster=int(self._number(CLUSTER, _is_count, "a whole number, 1 or more", neutral=0)) or None,
        )

    def _number(self, column: str, fits: Callable[[float], bool], wanted: str, neutral: float | None = None) -> float:
        text = self.cells.get(column, "")
        if not text and neutral is not None:
            return neutral
        value = finite_number(text)
        if value is None or not fits(value):
            raise self._refuse(column, wanted)
        if value > LARGEST:
            raise self._refuse(column, f"at most {LARGEST:g}")
        return value

    def _refuse(self, column: str, wanted: str) -> UserError:
        found = self.cells.get(column) or "an empty cell"
        return UserError(f"{self.path}: row {self.number}, column {column}: {found}, expected {wanted}")


def _is_index(value: float) -> bool:
    return value >= 0 and value.is_integer()


def _is_count(value: float) -> bool:
    return value >= 1 and value.is_integer()
