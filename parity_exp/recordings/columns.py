"""Columns of the tables of a run directory: one definition, for serving, simulation, and whoever reads them.

All times are seconds from the beginning of the run. Traces and arrivals, which people also write themselves, have
theirs where they are read: :mod:`~parity_exp.disturbances.trace` and :mod:`~parity_exp.load.trace_load`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from parity_exp.disturbances import trace
from parity_exp.load import trace_load

SECONDS, WHOLE, TEXT, YES_OR_NO, NUMBER = "float64", "int64", "str", "bool", "float64"

QUERIES = {
    "query": WHOLE,
    "scheduled_s": SECONDS,
    "sent_s": SECONDS,
    "completed_s": SECONDS,
    "latency_ms": NUMBER,
    "source": TEXT,
    "instance": WHOLE,
    "group": WHOLE,
}
"""A row a measured query that has been answered: ``queries-<policy>.parquet``. ``instance`` and ``group``: -1 none."""

FRONTEND = {"frontend": WHOLE}
"""One more, where there were several."""

ANSWERS = {
    "corrupted": YES_OR_NO,
    "flagged": YES_OR_NO,
    "correct": YES_OR_NO,
    "score": NUMBER,
    "default_correct": YES_OR_NO,
}
"""More of them, where there were predictions; columns of labels and of predictions, which the task names, follow."""

TASKS = {
    "task": WHOLE,
    "model": TEXT,
    "instance": WHOLE,
    "placed_s": SECONDS,
    "started_s": SECONDS,
    "finished_s": SECONDS,
    "outcome": TEXT,
    "batch": WHOLE,
    "group": WHOLE,
}
"""A row a task that has ended: ``tasks-<policy>.parquet``. ``batch`` and ``group``: -1 none."""

SPOILT = {"corrupted": YES_OR_NO}
"""One more column of tasks, where there were predictions."""

TRACE = (*trace.COLUMNS, trace.CLUSTER)
"""A row a disturbance: ``straggler-trace.csv``; the last column only where clusters have several sizes."""

ARRIVALS = trace_load.HEADER
"""The one column of ``arrivals.csv``."""

ERRORS = ("policy", "what", "model", "times", "instances", "error")
"""A row a distinct error: ``errors-<policy>.csv``."""


def frame(columns: Mapping[str, str], values: Mapping[str, Any]) -> pd.DataFrame:
    """A table with certain columns, in their order and of their types.

    Args:
        columns: types by name.
        values: of each column, all as long as each other.
    """
    return pd.DataFrame({name: values[name] for name in columns}).astype(dict(columns))
