"""``simulate``: what ``serve`` does, in simulated time, on as many instances as you like, without models or data."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.pages.run import write_report
from parity_exp.analysis.tables.serving import interval_table, percentile_table, written
from parity_exp.analysis.tables.terminal import show
from parity_exp.experiment.capacity import run_plan
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.planning import is_plan
from parity_exp.experiment.seeds import simulate_seeds
from parity_exp.experiment.simulation import PREFIX, Simulation, simulate_seed
from parity_exp.files.writing import write_text
from parity_exp.process.parallel import Interrupted
from parity_exp.process.progress import progress
from parity_exp.process.side_channels import beside
from parity_exp.recordings.looks import write_looks
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.reader import read_recordings
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.simulation import over_seeds
from parity_exp.tracking import Tracker


def run(composed: DictConfig) -> float:
    """Simulate every policy; return the last one's p99.9, for sweepers to minimise. Plans return its machines."""
    config = resolved(composed)
    if is_plan(config):
        return run_plan(config)
    simulation = Simulation(config)
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    claim("simulate", config, directory, {})
    with tracked("simulate", config, directory) as tracker:
        write_looks(directory.path, {name: simulation.policy(name) for name in simulation.policies})
        metrics = _metrics(simulation, directory)
        directory.write_metrics(metrics)
        _draw(simulation, metrics, directory, tracker)
        with beside("report"):
            write_report(directory.path)
        _show(simulation, metrics, directory)
    return metrics[f"{PREFIX}/{simulation.policies[-1]}/latency_ms/p99.9"]


def _metrics(simulation: Simulation, directory: RunDirectory) -> dict[str, float]:
    """Simulate; recordings are kept of the first seed, metrics of all."""
    if simulation.seeds == 1:
        bars = partial(progress, total=simulation.load.total)
        return simulate_seed(simulation, simulation.seed, directory.path, bars)
    seeds = range(simulation.seed, simulation.seed + simulation.seeds)
    try:
        by_seed = simulate_seeds(simulation, seeds, directory.path)
    except Interrupted as interrupted:
        _write_seeds(directory, interrupted.done)
        raise
    _write_seeds(directory, by_seed)
    return over_seeds(list(by_seed.values())) | {f"{PREFIX}/seeds": len(by_seed)}


def _write_seeds(directory: RunDirectory, by_seed: Mapping[int, Mapping[str, float]]) -> None:
    """A row a seed and policy."""
    rows = [
        {"seed": seed, "policy": policy, **values}
        for seed, metrics in by_seed.items()
        for policy, values in metrics_by_policy(metrics).items()
    ]
    if rows:
        write_text(directory.seeds, pd.DataFrame(rows).to_csv(index=False))


def _draw(simulation: Simulation, metrics: Mapping[str, float], directory: RunDirectory, tracker: Tracker) -> None:
    """Tell the tracker, and draw the first seed."""
    tracker.results(metrics, {"simulation": percentile_table(metrics_by_policy(metrics))})
    with beside("figures"):
        found = read_recordings(directory.path, simulation.policies)
        slo_ms = simulation.load.slo_ms
        pictures = serving_figures(found.queries, found.tasks, found.trace, slo_ms, simulation.sizes, found.looks)
        tracker.figures(save(pictures, directory.figures))


def _show(simulation: Simulation, metrics: Mapping[str, float], directory: RunDirectory) -> None:
    """Print the table of all seeds."""
    policies = metrics_by_policy(metrics)
    title = (
        f"{simulation.load.queries:,} queries at {metrics[f'{PREFIX}/rate_qps']:.0f} q/s, "
        f"{metrics[f'{PREFIX}/service_time_ms']:.1f} ms each, {simulation.instances:,} base instances, simulated"
    )
    show(title, written(percentile_table(policies)))
    intervals = interval_table(policies)
    if not intervals.empty:
        show(f"means of {simulation.seeds} seeds, and half of their 95 % confidence intervals", intervals)
    print(f"run directory: {directory.path}")
