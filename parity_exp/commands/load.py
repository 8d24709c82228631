"""``load``: play a load against a server of the Open Inference Protocol, whoever made it."""

import json

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.pages.run import write_report
from parity_exp.client.session import drive
from parity_exp.experiment.driving import driven_config, driving_arguments, recorded_config
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.own_folder import claim
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory


def run(composed: DictConfig) -> float:
    """Play a load against ``url=``, write a run directory; return p99.9, for sweepers to minimise."""
    config = driven_config(composed)
    given = driving_arguments(config)
    with naming_keys():
        drive(**given, dry_run=True)
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    asked = {key: json.dumps(given[key]) for key in ("url", "name", "model", "model_version")}
    claim("load", resolved(composed), directory, asked | {"client": str(given["options"])})
    with tracked("load", recorded_config(config), directory) as tracker:
        with naming_keys():
            result = drive(**given, folder=directory.path)
        tracker.results(result.metrics, result.tables)
        tracker.figures(list(result.figure_files))
        with beside("report"):
            write_report(directory.path)
        result.show()
    print(f"run directory: {directory.path}\nreport: {directory.report}")
    return result.metrics[f"serve/{given['name']}/latency_ms/p99.9"]
