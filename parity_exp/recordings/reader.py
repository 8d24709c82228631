"""Reads what :mod:`~parity_exp.recordings.writer` has written: what serving has left in a run directory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from parity_exp.policies.look import Look
from parity_exp.recordings.columns import ARRIVALS
from parity_exp.recordings.looks import read_looks
from parity_exp.recordings.run_directory import RunDirectory


@dataclass(frozen=True)
class Recordings:
    """The recordings of a serving run; empty for a run that has not served.

    Attributes:
        queries: for each policy a row a measured query.
        tasks: for each policy a row a task.
        trace: the injected disturbances, or None.
        arrivals_s: scheduled arrivals, warm-up included, or None.
        errors: what went wrong with instances and models, a row a distinct error; empty where nothing did.
        looks: what policies say of themselves, by name.
    """

    queries: dict[str, pd.DataFrame]
    tasks: dict[str, pd.DataFrame]
    trace: pd.DataFrame | None
    arrivals_s: pd.Series | None
    errors: pd.DataFrame = field(default_factory=pd.DataFrame)
    looks: Mapping[str, Look] = field(default_factory=dict)


def read_recordings(folder: Path, order: Iterable[str] = ()) -> Recordings:
    """Read whatever there is.

    Args:
        folder: the run directory.
        order: policies in the order of the run; others follow by name.
    """
    run = RunDirectory(folder)
    found = run.recorded_policies()
    policies = [*(policy for policy in order if policy in found), *(name for name in found if name not in set(order))]
    return Recordings(
        queries={policy: pd.read_parquet(run.queries(policy)) for policy in policies},
        tasks={policy: pd.read_parquet(run.tasks(policy)) for policy in policies if run.tasks(policy).is_file()},
        trace=read_table(run.trace),
        arrivals_s=pd.read_csv(run.arrivals)[ARRIVALS] if run.arrivals.is_file() else None,
        errors=read_errors(folder, policies),
        looks=read_looks(folder),
    )


def read_errors(folder: Path, policies: Iterable[str]) -> pd.DataFrame:
    """What went wrong, ``errors-<policy>.csv`` of all policies together; empty where nothing did."""
    paths = [RunDirectory(folder).errors(policy) for policy in policies]
    tables = [pd.read_csv(path, keep_default_na=False, dtype={"times": int}) for path in paths if path.is_file()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def read_table(path: Path) -> pd.DataFrame | None:
    """A table of a run as CSV; None where there is none."""
    return pd.read_csv(path) if path.is_file() else None
