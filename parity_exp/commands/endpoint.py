"""``endpoint``: put a trained run behind the Open Inference Protocol, for clients of its own."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.experiment.endpoint import check_endpoint, serve_clients
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.versions import Version, versions_of
from parity_exp.recordings.run_directory import RunDirectory


def run(composed: DictConfig) -> float:
    """Serve ``run=`` to clients until SIGTERM or Ctrl-C, write a run directory; return how many were answered."""
    versions = [Version(number, trained, composed) for number, trained in versions_of(composed.run).items()]
    for version in versions:
        check_endpoint(version.config)
        version.plan()
    newest = versions[-1]
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    claim("endpoint", resolved(composed), directory, newest.experiment.data_facts)
    with tracked("endpoint", newest.config, directory) as tracker:
        metrics = serve_clients(versions, directory, tracker)
    return metrics[f"serve/{newest.plan().policies[-1]}/queries"]
