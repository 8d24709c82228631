"""Plan capacity from a program: the fewest machines that each policy needs for objectives of latency."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from annotated_types import Ge, Gt, Le

from parity_exp.analysis.tables.capacity import capacity_findings, capacity_table
from parity_exp.analysis.tables.terminal import show
from parity_exp.checks import check_setting
from parity_exp.disturbances import Distribution, Straggler
from parity_exp.files.writing import write_text
from parity_exp.load import Load
from parity_exp.policies.queues import SingleQueue
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.parallel import Interrupted, in_parallel
from parity_exp.process.side_channels import beside
from parity_exp.ranges import Count, Delay, Frontends, Positive, PositiveShare, Prefetch, Text
from parity_exp.recordings.looks import Looks
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.scenario.folder import looks_of, prepared
from parity_exp.scenario.given import (
    GivenNeeds,
    GivenPolicies,
    GivenStragglers,
    needs_by_name,
    policies_by_name,
    stragglers_by_name,
)
from parity_exp.scenario.scenario import FrontendSplit, MakeQueues
from parity_exp.simulation.capacity import Cluster, Found, Plan, search_sizes
from parity_exp.simulation.measured_times import MeasuredTimes, measured_times
from parity_exp.simulation.times import Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Objectives = float | Sequence[float]


@dataclass(frozen=True)
class CapacityPlan:
    """The fewest machines that each policy needs.

    Attributes:
        title: what was planned, in a line.
        metrics: by their keys in ``metrics.json``, such as ``plan/parity/machines``.
        answers: a row a policy and objective, as ``plan.csv`` holds them.
        sizes: a row a size that was simulated, as ``plan-sizes.csv`` holds them.
        looks: by policy what it says of itself, such as its colour.
        folder: where the run directory is; None: nothing was written.
        figure_files: what was drawn there.
    """

    title: str
    metrics: dict[str, float]
    answers: pd.DataFrame
    sizes: pd.DataFrame
    looks: Looks = field(default_factory=dict)
    folder: Path | None = None
    figure_files: tuple[Path, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """A row a policy and objective, as people read it."""
        return capacity_table(self.answers)

    @property
    def findings(self) -> list[str]:
        """What the answers come to, a sentence each."""
        return capacity_findings(self.answers)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables that have rows, by what they show."""
        return {"plan": self.answers}

    def show(self) -> None:
        """Print the table, and what it comes to."""
        show(self.title, self.table)
        for sentence in self.findings:
            print(sentence)

    def figures(self) -> "dict[str, Figure]":
        """Machines against objectives and latency against machines, by the names of the figures."""
        from parity_exp.analysis.figures.capacity import capacity_figures  # Matplotlib takes a second

        return capacity_figures(self.answers, self.sizes, self.looks)

    def __str__(self) -> str:
        return f"{self.title}\n{self.table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{self.title}</p>{self.table.to_html(index=False)}"


def plan_capacity(
    policies: GivenPolicies,
    load: Load,
    *,
    slo_ms: Objectives | None = None,
    slo_times_p50: Objectives | None = None,
    percentile: Annotated[float, Gt(0), Le(100)] = 99.9,
    most_instances: Count = 10_000,
    least_utilisation: PositiveShare = 0.05,
    precision: Annotated[float, Ge(0), Le(0.5)] = 0.01,
    straggler: GivenStragglers | Callable[[int], GivenStragglers] = None,
    instances: int = 4,
    k: int = 2,
    r: int = 1,
    code: GivenNeeds = None,
    service_time_ms: Positive | None = None,
    service_time: Distribution | None = None,
    backup_ratio: Positive = 1.0,
    multiplexed_ratio: Positive = 1.0,
    network_ms: Delay | None = None,
    network: Distribution | None = None,
    restart_ms: Delay = 50.0,
    restart: Distribution | None = None,
    measured: MeasuredTimes | str | Path | None = None,
    batch_size: int = 1,
    batch_window_ms: float = 2.0,
    prefetch: Prefetch = 1,
    queue: MakeQueues = SingleQueue,
    frontends: Frontends = 1,
    frontend_split: FrontendSplit = "random",
    seed: int = 0,
    seeds: Count = 1,
    processes: Count | None = None,
    ray: Text | None = None,
    folder: str | Path | None = None,
    show_progress: bool = True,
    dry_run: bool = False,
) -> CapacityPlan:
    """Find the fewest machines on which each policy keeps objectives of latency, by simulating clusters of many sizes.

    Args:
        policies: as for :func:`parity_exp.simulate`; so are all that are not named here.
        load: an open loop with a rate of its own, such as ``Poisson(100_000, rate_qps=2_000)``.
        slo_ms: one objective or several, in milliseconds: the percentile of latency is at most so long.
        slo_times_p50: the same in medians of a query that nothing delays; one of the two is given.
        percentile: of latency, above 0 to 100.
        most_instances: machines at most, of base and other models.
        least_utilisation: clusters that the queries keep less busy than this share are not tried.
        precision: an answer may be above the fewest by this share.
        straggler: as for :func:`parity_exp.simulate`, or a function of the number of machines, for stragglers that grow
            with the cluster.
        instances: base instances of the cluster on which it is tried whether everything can be.
        seeds: simulations of each size.
        processes: how many policies are searched for at a time; None: one for each core.
        ray: a Ray cluster that searches instead, as for :func:`parity_exp.simulate`.
        folder: where to write the files of a run directory; None: nothing is written.
        dry_run: refuse what cannot be, and go no further; the plan is empty.

    Returns:
        The plan; its metrics' keys begin with ``plan/``.

    Raises:
        SettingError: a :class:`ValueError`: an argument that cannot be, in one line.
        UserError: a file or run directory that is missing or wrong.
    """
    check_setting("percentile", percentile, Annotated[float, Gt(0), Le(100)])
    check_setting("most_instances", most_instances, Count)
    check_setting("least_utilisation", least_utilisation, PositiveShare)
    check_setting("precision", precision, Annotated[float, Ge(0), Le(0.5)])
    for name, values in (("slo_ms", slo_ms), ("slo_times_p50", slo_times_p50)):
        check_setting(name, values, Positive | Sequence[Positive] | None)
    check_setting("seeds", seeds, Count)
    check_setting("processes", processes, Count | None)
    check_setting("ray", ray, Text | None)
    times = Times.of(
        service_time_ms=service_time_ms,
        service_time=service_time,
        backup_ratio=backup_ratio,
        multiplexed_ratio=multiplexed_ratio,
        network_ms=network_ms,
        network=network,
        restart_ms=restart_ms,
        restart=restart,
        measured=measured_times(measured) if isinstance(measured, str | Path) else measured,
    )
    stragglers_at = _StragglersAt(straggler)
    by_name = policies_by_name(policies, k, r)
    cluster = Cluster(
        by_name, load, stragglers_at, batch_size, batch_window_ms, queue, seed, times, prefetch,
        needs_by_name(code, by_name), frontends, frontend_split,
    )  # fmt: skip
    plan = Plan(
        cluster, instances, slo_ms, slo_times_p50, percentile, most_instances, least_utilisation, precision, seeds
    )
    if dry_run:
        return CapacityPlan("", {}, pd.DataFrame(), pd.DataFrame())
    plan.simulation.warn()
    objectives = {"slo_ms": slo_ms, "slo_times_p50": slo_times_p50, "percentile": percentile}
    path = prepared(folder, plan.simulation, {"simulate": times.described(), "plan": objectives})
    jobs = {policy: (plan, policy) for policy in plan.policies}
    try:
        found: dict[str, Found] = in_parallel(
            search_sizes, jobs, processes or os.cpu_count() or 1, "sizes", None, show_progress, ray
        )
    except Interrupted as interrupted:
        with ctrl_c_waits():
            _write(plan, interrupted.done, path)
        raise
    answers, sizes = _write(plan, found, path)
    title = f"{plan.percentile_name} at {plan.rate_qps:,.0f} q/s, {plan.service_s * 1e3:.3g} ms each, simulated"
    return _finished(CapacityPlan(title, plan.metrics(answers, sizes), answers, sizes, looks_of(by_name)), path)


class _StragglersAt:
    """Stragglers by name for a cluster of so many machines; goes to other processes."""

    def __init__(self, given: GivenStragglers | Callable[[int], GivenStragglers]) -> None:
        self.given = given

    def __call__(self, machines: int) -> Mapping[str, Straggler]:
        given: Any = self.given
        return stragglers_by_name(given(machines) if callable(given) else given)


def _write(plan: Plan, found: Mapping[str, Found], folder: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write ``plan.csv``, a row a policy and objective, and ``plan-sizes.csv``, a row a size that was simulated."""
    answers, sizes = plan.answers(found), plan.sizes(found)
    if folder is not None:
        run = RunDirectory(folder)
        for path, table in ((run.plan, answers), (run.plan_sizes, sizes)):
            if not table.empty:
                write_text(path, table.to_csv(index=False))
    return answers, sizes


def _finished(plan: CapacityPlan, folder: Path | None) -> CapacityPlan:
    """Write metrics and figures into the folder."""
    if folder is None:
        return plan
    run = RunDirectory(folder)
    run.write_metrics(plan.metrics)
    files: tuple[Path, ...] = ()
    with beside("figures"):
        from parity_exp.analysis.figures.files import save

        files = tuple(save(plan.figures(), run.figures))
    return replace(plan, folder=folder, figure_files=files)
