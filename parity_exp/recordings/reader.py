"""What serving has left in a run directory, read back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from parity_exp.recordings.looks import read_looks

QUERIES = re.compile(r"queries-(.+)\.parquet")


@dataclass(frozen=True)
class Recordings:
    """The recordings of a serving run; empty for a run that has not served.

    Attributes:
        queries: for each policy a row a measured query.
        tasks: for each policy a row a task.
        trace: the injected disturbances, or None.
        arrivals_s: scheduled arrivals, warm-up included, or None.
        errors: what went wrong with instances and models, a row a distinct error; empty where nothing did.
    """

    queries: dict[str, pd.DataFrame]
    tasks: dict[str, pd.DataFrame]
    trace: pd.DataFrame | None
    arrivals_s: pd.Series | None
    errors: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_recordings(folder: Path, order: Iterable[str] = ()) -> Recordings:
    """Read whatever there is.

    Args:
        folder: the run directory.
        order: policies in the order of the run; others follow by name.
    """
    found = sorted(match[1] for path in folder.iterdir() if (match := QUERIES.fullmatch(path.name)))
    policies = [*(policy for policy in order if policy in found), *(name for name in found if name not in set(order))]
    tasks = {policy: folder / f"tasks-{policy}.parquet" for policy in policies}
    trace, arrivals = folder / "straggler-trace.csv", folder / "arrivals.csv"
    queries = {policy: pd.read_parquet(folder / f"queries-{policy}.parquet") for policy in policies}
    looks = read_looks(folder)
    for policy, table in queries.items():
        if policy in looks and looks[policy].colour is not None:
            table.attrs["colour"] = looks[policy].colour
    return Recordings(
        queries=queries,
        tasks={policy: pd.read_parquet(path) for policy, path in tasks.items() if path.is_file()},
        trace=pd.read_csv(trace) if trace.is_file() else None,
        arrivals_s=pd.read_csv(arrivals)["scheduled_s"] if arrivals.is_file() else None,
        errors=read_errors(folder, policies),
    )


def read_errors(folder: Path, policies: Iterable[str]) -> pd.DataFrame:
    """What went wrong, ``errors-<policy>.csv`` of all policies together; empty where nothing did."""
    paths = [folder / f"errors-{policy}.csv" for policy in policies]
    tables = [pd.read_csv(path, keep_default_na=False, dtype={"times": int}) for path in paths if path.is_file()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
