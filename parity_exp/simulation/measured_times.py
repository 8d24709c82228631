"""How long tasks and messages took in a run that was served, for a simulation of it.

Taken are tasks that an instance has done and that it began while nothing was injected into it
(``straggler-trace.csv``), of all policies of the run together: for each model the times from begin to end; the times
from placing to beginning of tasks that found their instance idle, which is how long a message there takes; and for
queries that a task of their own answered, the times from the task's end to the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from parity_exp.disturbances import Resampled
from parity_exp.disturbances.trace import LARGEST, Disturbance, read_trace
from parity_exp.disturbances.worlds import world_of
from parity_exp.errors import UserError
from parity_exp.recordings import columns, names
from parity_exp.recordings.run_directory import RunDirectory


def _of(table: Mapping[str, str], *some: str) -> dict[str, str]:
    """Some columns of a table with what they hold."""
    return {name: table[name] for name in some}


HOLDS = {columns.SECONDS: "seconds", columns.WHOLE: "whole numbers"}
"""What columns of numbers hold, in words."""

TASKS = _of(columns.TASKS, "model", "outcome", "instance", "batch", "placed_s", "started_s", "finished_s")
QUERIES = _of(columns.QUERIES, "source", "query", "instance", "completed_s")
"""What is read of the tables, and what it has to be."""

CLOCKS_S = 0.1
"""By so much the clocks of machines may differ, and a time be before the beginning."""

FEWEST = 20
"""So many undisturbed tasks of a model are enough to take its times from."""


@dataclass(frozen=True)
class MeasuredTimes:
    """Measured times, in seconds.

    Attributes:
        service: for each model that served.
        there: of messages to instances.
        back: of messages from them.
        query_s: how long the run says that a base instance takes for a query; None where it says nothing.
        capacity_qps: queries a second that its base instances served together; None where it says nothing.
        instances: how many base instances these were; None where that is not known.
    """

    service: Mapping[str, Resampled]
    there: Resampled
    back: Resampled
    query_s: float | None
    capacity_qps: float | None = None
    instances: int | None = None


def measured_times(path: str | Path, key: str = "measured") -> MeasuredTimes:
    """Read what a run directory of ``serve`` or ``run`` has measured.

    Args:
        path: the directory.
        key: what named it, for messages.

    Raises:
        UserError: it is not one, has served nothing, or has too few undisturbed tasks.
    """
    run = RunDirectory.existing(path, key, "serve")
    policies = sorted(policy for file in run.path.iterdir() if (policy := names.TASKS.policy_of(file.name)))
    if not policies:
        raise UserError(f"{key}={path}: it has no {names.TASKS('<policy>')}; give a run directory of `serve`")
    trace = read_trace(run.trace) if run.trace.is_file() else []
    measured = run.read_metrics() if run.metrics.is_file() else {}
    sizes = {name: _measured(run, measured, f"serve/{name}/instances") for name in policies}
    tasks = {name: _read_tasks(run.tasks(name)) for name in policies}
    idle = {name: _found_idle(table) for name, table in tasks.items()}
    calm = {name: _undisturbed(table, _met(trace, sizes[name])) for name, table in tasks.items()}
    calm_tasks = pd.concat([table[calm[name]] for name, table in tasks.items()])
    service = {
        str(model): Resampled((some["finished_s"] - some["started_s"]).to_numpy())
        for model, some in calm_tasks.groupby("model")
        if len(some) >= FEWEST
    }
    if "base" not in service:
        raise UserError(
            f"{key}={path}: fewer than {FEWEST} tasks of the base model went undisturbed; serve more queries"
        )
    there = pd.concat([table[calm[name] & idle[name]] for name, table in tasks.items()])
    back = pd.concat([_answered(_read(run.queries(name), QUERIES), tasks[name]) for name in policies])
    service_ms = _measured(run, measured, "serve/service_time_ms")
    if service["base"].expected() <= 0:
        raise UserError(f"{key}={path}: by its tables the base model takes no time; serve again")
    return MeasuredTimes(
        service,
        _messages((there["started_s"] - there["placed_s"]).to_numpy()),
        _messages((back["completed_s"] - back["finished_s"]).to_numpy()),
        None if service_ms is None else service_ms / 1e3,
        _measured(run, measured, "serve/capacity_qps"),
        _instances(run),
    )


def _instances(run: RunDirectory) -> int | None:
    """How many base instances a run had, by its config."""
    pool = run.read_config().get("pool")
    count = pool.get("instances") if isinstance(pool, Mapping) else None
    return count if isinstance(count, int) else None


def _read_tasks(path: Path) -> pd.DataFrame:
    """The tasks that are done, each of which has begun and ended, in this order.

    Raises:
        UserError: they have not.
    """
    table = _read(path, TASKS)
    done = table[table["outcome"] == "done"].reset_index(drop=True)
    _check_seconds(path, done, TASKS)
    backwards = np.flatnonzero(done["finished_s"] < done["started_s"])
    if len(backwards):
        task = done.iloc[int(backwards[0])]
        raise UserError(
            f"{path}: a task began at {task['started_s']:g} s and was done at {task['finished_s']:g} s; restore the "
            "file or serve again"
        )
    return done


def _read(path: Path, wanted: Mapping[str, str]) -> pd.DataFrame:
    """A table that has certain columns, with numbers where these are to be.

    Raises:
        UserError: it has not, or cannot be read.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path}: not readable as Parquet ({reason[0]})") from None
    for column, kind in wanted.items():
        if column not in table:
            raise UserError(f"{path}: it has no column {column}; give a run directory of `serve`")
        if kind in HOLDS and not pd.api.types.is_numeric_dtype(table[column]):
            raise UserError(f"{path}: column {column} holds {table[column].dtype}, expected {HOLDS[kind]}")
    if "completed_s" in wanted:
        _check_seconds(path, table, wanted)
    return table


def _check_seconds(path: Path, table: pd.DataFrame, wanted: Mapping[str, str]) -> None:
    """Refuse times that are no times."""
    for column in (name for name, kind in wanted.items() if kind == columns.SECONDS):
        values = table[column].to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= -CLOCKS_S)))
        if len(wrong):
            raise UserError(
                f"{path}: column {column} has {values[wrong[0]]:g} in row {wrong[0] + 1} of {len(values)}, expected "
                "seconds from the beginning of the run; restore the file or serve again"
            )


def _messages(times_s: np.ndarray) -> Resampled:
    """Times of messages; no time where none was seen, and none that clocks make negative."""
    return Resampled(np.maximum(times_s, 0.0) if len(times_s) else np.zeros(1))


def _measured(run: RunDirectory, metrics: Mapping[str, object], key: str) -> float | None:
    """A metric that is above 0; None where the run says nothing of it.

    Raises:
        UserError: it is not.
    """
    value = metrics.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        shown = str(value)[:40]
        raise UserError(f"{run.metrics}: {key} is {shown}, expected a number above 0; restore it or serve again")
    return float(value)


def _met(trace: list[Disturbance], size: float | None) -> list[Disturbance]:
    """The rows that a cluster met; where its size is not known, those of all sizes, to be on the safe side."""
    return trace if size is None else world_of(trace, int(size))


def _undisturbed(tasks: pd.DataFrame, trace: list[Disturbance]) -> np.ndarray:
    """Which tasks began while nothing was injected into their instance."""
    calm = np.ones(len(tasks), dtype=bool)
    instance, started_s = tasks["instance"].to_numpy(), tasks["started_s"].to_numpy()
    rows_of: dict[int, list[Disturbance]] = {}
    for row in trace:
        rows_of.setdefault(row.instance, []).append(row)
    for number, rows in rows_of.items():
        own = np.flatnonzero(instance == number)
        # Began after n starts of disturbances and fewer than n ends: in the middle of one.
        starts = np.searchsorted(np.sort([row.start_s for row in rows]), started_s[own], side="right")
        ends = np.searchsorted(np.sort([row.end_s for row in rows]), started_s[own], side="right")
        calm[own] = starts == ends
    return calm


def _found_idle(tasks: pd.DataFrame) -> np.ndarray:
    """Which tasks were placed on an instance that had nothing to do."""
    ordered = tasks.sort_values(["instance", "started_s"])
    before_s = ordered.groupby("instance")["finished_s"].shift(fill_value=0.0)
    idle: np.ndarray = (ordered["placed_s"] >= before_s).reindex(tasks.index).to_numpy()
    return idle


def _answered(queries: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Queries that a task of their own answered, each with that task."""
    own = queries.loc[queries["source"] == "own", ["query", "instance", "completed_s"]]
    done = tasks.loc[tasks["batch"] >= 0, ["batch", "instance", "finished_s"]]
    return own.merge(done, left_on=["query", "instance"], right_on=["batch", "instance"])
