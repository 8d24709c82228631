"""What comes out of serving and of a simulation: numbers, tables and figures, in the same form for both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from parity_exp.analysis.tables.serving import (
    cost_table,
    interval_table,
    percentile_table,
    written,
    wrong_answers_table,
)
from parity_exp.analysis.tables.terminal import show
from parity_exp.recordings.looks import Looks
from parity_exp.recordings.metric_keys import SIMULATED, metrics_by_policy, prefix_of
from parity_exp.recordings.overall_accuracy import OVERALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Recorded:
    """What was recorded under one policy.

    Attributes:
        queries: a row a measured query, as ``queries-<policy>.parquet`` holds them.
        tasks: a row a task, as ``tasks-<policy>.parquet`` holds them.
    """

    queries: pd.DataFrame
    tasks: pd.DataFrame


@dataclass(frozen=True)
class ServingResult:
    """What clients got under each policy, and what it took.

    Attributes:
        title: what was served or simulated, in a line.
        metrics: by their keys in ``metrics.json``, such as ``serve/parity/latency_ms/p99.9``. Times are in the unit
            that the key ends with.
        recorded: by policy what was recorded; of several seeds that of the first.
        sizes: by policy how many instances it had.
        looks: by policy what it says of itself, such as its colour.
        slo_ms: the deadline; None: there was none.
        trace: a row a disturbance that was injected, as ``straggler-trace.csv`` holds them; None where none was.
        arrivals_s: scheduled arrivals in seconds, warm-up included.
        errors: a row a distinct error of instances and models; empty where there was none.
        by_seed: of several seeds the metrics of each.
        pairs: of several seeds a row a pair of policies and percentile, with the ratio of their latencies and between
            which values it is with 95 % confidence.
        folder: where the run directory is; None: nothing was written.
        figure_files: what was drawn there.
    """

    title: str
    metrics: dict[str, float]
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    looks: Looks = field(default_factory=dict)
    slo_ms: float | None = None
    trace: pd.DataFrame | None = None
    arrivals_s: pd.Series | None = None
    errors: pd.DataFrame = field(default_factory=pd.DataFrame)
    by_seed: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    folder: Path | None = None
    figure_files: tuple[Path, ...] = ()

    @cached_property
    def queries(self) -> pd.DataFrame:
        """A row a query and policy: ``policy``, ``latency_ms`` from its scheduled arrival, ``source`` of the answer.

        And ``query``, ``scheduled_s``, ``sent_s``, ``completed_s``, ``instance``, ``group``; where models ran also
        ``predicted``, ``corrupted`` and ``flagged``, and where labels were given ``label`` and ``correct``.
        """
        return _together({policy: recorded.queries for policy, recorded in self.recorded.items()})

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """A row a task and policy: ``policy``, ``model``, ``instance``, ``placed_s``, ``started_s``, ``finished_s``."""
        return _together({policy: recorded.tasks for policy, recorded in self.recorded.items()})

    @cached_property
    def by_policy(self) -> dict[str, dict[str, float]]:
        """The metrics of each policy, by names such as ``latency_ms/p99.9``."""
        return metrics_by_policy(self.metrics)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a policy: instances, percentiles of latency, accuracy of what clients got, shares of the sources."""
        return percentile_table(self.by_policy)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """A row a policy: what it took beside the base instances."""
        return cost_table(self.by_policy)

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """A row a policy: means over seeds with half of their 95 % confidence intervals; empty of one seed."""
        return interval_table(self.by_policy)

    @cached_property
    def wrong_answers(self) -> pd.DataFrame:
        """A row a policy: corrupted answers, and how many a policy noticed; empty where there were none."""
        return wrong_answers_table(self.by_policy)

    def figures(self) -> "dict[str, Figure]":
        """Every figure of the run by its name, such as ``latency_ccdf``; drawn when they are asked for."""
        from parity_exp.analysis.figures.serving import serving_figures  # Matplotlib takes a second

        queries = {policy: recorded.queries for policy, recorded in self.recorded.items()}
        tasks = {policy: recorded.tasks for policy, recorded in self.recorded.items()}
        return serving_figures(queries, tasks, self.trace, self.slo_ms, self.sizes, self.looks, self._overall)

    @property
    def _overall(self) -> dict[str, float]:
        """Overall accuracy by policy, where a simulation knows it."""
        return {policy: values[OVERALL] for policy, values in self.by_policy.items() if OVERALL in values}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables that have rows, by what they show."""
        what = "simulation" if prefix_of(self.metrics) == SIMULATED else "serving"
        tables = {what: self.table, "wrong answers": self.wrong_answers, "errors": self.errors}
        return {name: table for name, table in tables.items() if not table.empty}

    def show(self) -> None:
        """Print the tables."""
        if not self.wrong_answers.empty:
            show("Wrong answers, and who noticed", written(self.wrong_answers))
        if not self.errors.empty:
            show("What went wrong with instances and models", self.errors)
        show(self.title, written(self.table))
        if not self.intervals.empty:
            title = f"means of {len(self.by_seed)} seeds, and half of their 95 % confidence intervals"
            show(title, self.intervals)

    def __str__(self) -> str:
        return f"{self.title}\n{written(self.table).to_string(index=False)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{self.title}</p>{written(self.table).to_html(index=False)}"


def _together(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of policies in one, with their names in the first column."""
    named = []
    for policy, table in tables.items():
        one = table.copy(deep=False)
        one.attrs = {}
        one.insert(0, "policy", pd.Series(policy, index=one.index, dtype="str"))
        named.append(one)
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame()
