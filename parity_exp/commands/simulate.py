"""``simulate``: what ``serve`` does, in simulated time, on as many instances as you like, without models or data."""

import math

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.pages.run import write_report
from parity_exp.experiment.capacity import is_plan, plan_arguments
from parity_exp.experiment.job import tracked
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.simulation import simulated_config, simulation_arguments
from parity_exp.process.side_channels import beside
from parity_exp.recordings.metric_keys import SIMULATED
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.simulation.planning import plan_capacity
from parity_exp.simulation.session import simulate


def run(composed: DictConfig) -> float:
    """Simulate every policy; return the last one's p99.9, for sweepers to minimise. Plans return its machines."""
    config = simulated_config(composed)
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    work, arguments = (plan_capacity, plan_arguments) if is_plan(config) else (simulate, simulation_arguments)
    given = arguments(config)
    with naming_keys():
        work(**given, dry_run=True)
    claim("simulate", config, directory, {})
    with tracked("simulate", config, directory) as tracker, naming_keys():
        result = work(**given, folder=directory.path)
        tracker.results(result.metrics, result.tables)
        tracker.figures(list(result.figure_files))
        with beside("report"):
            write_report(directory.path)
        result.show()
    print(f"run directory: {directory.path}")
    last = list(given["policies"])[-1]
    if is_plan(config):
        return result.metrics.get(f"plan/{last}/machines", math.inf)
    return result.metrics[f"{SIMULATED}/{last}/latency_ms/p99.9"]
