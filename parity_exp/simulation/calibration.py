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

from parity_exp.errors import UserError
from parity_exp.run_directory import RunDirectory
from parity_exp.serving.stragglers import Resampled
from parity_exp.serving.trace import Disturbance, read_trace

FEWEST = 20
"""So many undisturbed tasks of a model are enough to take its times from."""


@dataclass(frozen=True)
class Calibration:
    """Measured times, in seconds.

    Attributes:
        service: for each model that served.
        there: of messages to instances.
        back: of messages from them.
        query_s: how long the run says that a base instance takes for a query; None where it says nothing.
    """

    service: Mapping[str, Resampled]
    there: Resampled
    back: Resampled
    query_s: float | None


def calibration(path: str | Path, key: str = "simulate.calibrate") -> Calibration:
    """Read what a run directory of ``serve`` or ``run`` has measured.

    Args:
        path: the directory.
        key: the config key that named it, for messages.

    Raises:
        UserError: it is not one, has served nothing, or has too few undisturbed tasks.
    """
    run = RunDirectory.existing(path, key, "serve")
    names = sorted(file.name.removeprefix("tasks-") for file in run.path.glob("tasks-*.parquet"))
    if not names:
        raise UserError(f"{key}={path}: it has no tasks-<policy>.parquet; give a run directory of `serve`")
    trace_path = run.path / "straggler-trace.csv"
    trace = read_trace(trace_path) if trace_path.is_file() else []
    tasks = {name: _read(run.path / f"tasks-{name}") for name in names}
    idle = {name: _found_idle(table) for name, table in tasks.items()}
    calm = {name: _undisturbed(table, trace) for name, table in tasks.items()}
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
    back = pd.concat([_answered(_read(run.path / f"queries-{name}"), tasks[name]) for name in names])
    measured = run.read_metrics() if run.metrics.is_file() else {}
    service_ms = measured.get("serve/service_time_ms")
    return Calibration(
        service,
        _messages((there["started_s"] - there["placed_s"]).to_numpy()),
        _messages((back["completed_s"] - back["finished_s"]).to_numpy()),
        None if service_ms is None else service_ms / 1e3,
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]})") from None
    return table[table["outcome"] == "done"].reset_index(drop=True) if "outcome" in table else table


def _messages(times_s: np.ndarray) -> Resampled:
    """Times of messages; no time where none was seen, and none that clocks make negative."""
    return Resampled(np.maximum(times_s, 0.0) if len(times_s) else np.zeros(1))


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
