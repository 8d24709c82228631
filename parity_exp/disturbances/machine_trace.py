"""Slowdowns of whole machines, as somebody has measured them over time."""

from collections import defaultdict
from pathlib import Path
from typing import Literal

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.disturbances.straggler import NotThereError, Straggler
from parity_exp.disturbances.trace import SLOW, Disturbance
from parity_exp.disturbances.trace_size import check_size
from parity_exp.errors import UserError
from parity_exp.files.date_time import seconds_of
from parity_exp.files.named_columns import Row, rows_of
from parity_exp.ranges import Delay, Factor, Positive, Text

VALUE, RUNTIME, START, MACHINE = COLUMNS = ("value", "runtime", "starttime", "VM_id")

Series = list[tuple[float, float, float]]
"""Start, end and value of each measurement of a machine, ascending."""


class MachineTrace(Straggler):
    """Each instance is as slow as a machine of a trace was, from measurement to measurement.

    The file has the columns of Azure's VM noise trace (2024): ``value,runtime,starttime,VM_id``. A measurement of a
    benchmark on machine ``VM_id`` began at ``starttime`` (a date-time, or seconds), took ``runtime`` seconds, and came
    to ``value``. It counts until the machine's next one begins, the last one for its runtime, and before a machine's
    first nothing is known, so that nothing slows it. A task takes the value over the median of all values of the window
    times as long; where larger values are better, the median over the value.

    Which machine an instance has is drawn; a larger cluster keeps those of a smaller one.

    Args:
        path: the file.
        larger_is: whether a larger value, such as a latency, is a slower machine, or, such as a throughput, a faster.
        from_s: the window begins so long after the file's first measurement.
        until_s: and ends so long after it; None: with the file.
        speed: so many seconds of the trace pass in a second of the run: measurements are often hours apart.
        wraps: where the run may last longer than the window, it begins again, and where there are more instances than
            machines, machines are given out again; otherwise both are refused.

    Raises:
        SettingError: a setting that cannot be, with its name.
        UserError: the file is missing or wrong, with its name, the row's number and what was expected.
    """

    def __init__(
        self,
        path: Text | Path | None,
        larger_is: Literal["slower", "faster"] = "slower",
        from_s: Delay = 0.0,
        until_s: Positive | None = None,
        speed: Factor = 1.0,
        wraps: bool = True,
    ) -> None:
        if path is None:
            raise SettingError(f"{{path}}={{null}}: expected a CSV file with the columns {','.join(COLUMNS)}")
        if until_s is not None and until_s <= from_s:
            raise SettingError(f"{{until_s}}={until_s:g}: expected more than {{from_s}}={from_s:g}")
        self.path = path
        self.speed = speed
        self.wraps = wraps
        series = _read(path)
        last_s = max(end_s for one in series for _, end_s, _ in one)
        self.length_s = (last_s if until_s is None else until_s) - from_s
        window = [_cut(one, from_s, from_s + self.length_s) for one in series]
        self.series = [one for one in window if one]
        if not self.series or not self.length_s > 0:
            raise SettingError(
                f"{{from_s}}={from_s:g}: the window of {path} has no measurements; those of the file are from 0 to "
                f"{last_s:.10g} s"
            )
        self.larger_is = larger_is
        self.median = float(np.median([value for one in self.series for _, _, value in one]))

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        machines = len(self.series)
        if instances > machines and not self.wraps:
            raise NotThereError(
                f"{{path}}={self.path}: it has {machines} machines, expected {instances}, one for each instance; "
                "{wraps}=true gives them out again"
            )
        window_s = self.length_s / self.speed
        if window_s < duration_s and not self.wraps:
            raise SettingError(
                f"{{speed}}={self.speed:g}: the window of {self.path} lasts {window_s:.4g} s of the run, and the run "
                f"may last {duration_s:.4g} s; give a longer window, a lower speed, fewer queries, or {{wraps}}=true"
            )
        turns = int(np.ceil(duration_s / window_s))
        check_size(duration_s, instances / machines * turns * sum(map(len, self.series)))
        order = random.permutation(machines).tolist()
        rows = []
        for instance in range(instances):
            own = self.series[order[instance % machines]]
            for turn in range(turns):
                for start_s, end_s, value in own:
                    begin_s = turn * window_s + start_s / self.speed
                    until_s = turn * window_s + end_s / self.speed
                    if begin_s < duration_s:
                        rows.append(Disturbance(SLOW, instance, begin_s, until_s, self._factor(value)))
        return rows

    def _factor(self, value: float) -> float:
        """How many times as long a task takes."""
        return value / self.median if self.larger_is == "slower" else self.median / value


def _cut(series: Series, from_s: float, until_s: float) -> Series:
    """The part of a series in a window, in the window's time."""
    return [
        (max(start_s, from_s) - from_s, min(end_s, until_s) - from_s, value)
        for start_s, end_s, value in series
        if start_s < until_s and end_s > from_s
    ]


def _read(path: str | Path) -> list[Series]:
    """The series of each machine, by its name; times count from the first measurement.

    Raises:
        UserError: the file is missing or wrong.
    """
    measured: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    origin_s: int | None = None
    for row in rows_of(path, COLUMNS):
        whole_s, fraction_s = _start(row)
        origin_s = whole_s if origin_s is None else origin_s
        value = row.amount(VALUE)
        if not value > 0:
            raise row.refuse(VALUE, "a number above 0")
        if not row.cells[MACHINE]:
            raise row.refuse(MACHINE, "the name of a machine")
        measured[row.cells[MACHINE]].append((whole_s - origin_s + fraction_s, row.amount(RUNTIME), value))
    if not measured:
        raise UserError(f"{path}: it has no measurements")
    first_s = min(start_s for rows in measured.values() for start_s, _, _ in rows)
    return [_series(sorted(measured[name]), first_s) for name in sorted(measured)]


def _series(rows: list[tuple[float, float, float]], first_s: float) -> Series:
    starts_s = [start_s - first_s for start_s, _, _ in rows]
    ends_s = [*starts_s[1:], starts_s[-1] + rows[-1][1]]
    return [
        (start_s, end_s, value)
        for start_s, end_s, (_, _, value) in zip(starts_s, ends_s, rows, strict=True)
        if end_s > start_s
    ]


def _start(row: Row) -> tuple[int, float]:
    """Whole seconds and the fraction of one at which a measurement began."""
    found = seconds_of(row.cells[START])
    if found is not None:
        return found
    try:
        time_s = float(row.cells[START])
        return int(time_s // 1), time_s % 1
    except (ValueError, OverflowError):
        raise row.refuse(START, "a date-time such as 2024-03-01 12:00:00, or a time in seconds") from None
