"""``endpoint``: put a trained run behind the Open Inference Protocol, for clients of its own."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.endpoint import check_endpoint, serve_clients
from parity_exp.experiment.job import overlaid, resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.sections import SERVED, changed_by
from parity_exp.experiment.serving import ServingPlan
from parity_exp.experiment.stored import stored_config
from parity_exp.experiment.trained_run import load_trained, warn_if_unfinished
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import belongs

OWN = changed_by("endpoint")


def run(composed: DictConfig) -> float:
    """Serve ``run=`` to clients until SIGTERM or Ctrl-C, write a run directory; return how many were answered."""
    if composed.run is None:
        raise ConfigError("run: endpoint needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    trained = RunDirectory.existing(composed.run, "run")
    stored = stored_config(trained, "run", composed, (*SERVED, *OWN))
    config = overlaid(stored, resolved(composed), (*changed_by("serve"), *OWN), "run", (*SERVED, *OWN))
    check_endpoint(config)
    experiment = Experiment(config, trained=trained)
    plan = ServingPlan(experiment)
    load_trained(experiment, trained, "run")
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    experiment.base_weights = trained.checkpoint("base")
    claim("endpoint", resolved(composed), directory, experiment.data_facts)
    warn_if_unfinished(trained)
    with tracked("endpoint", config, directory) as tracker:
        backups = {
            name: trained if belongs(experiment.labelled_model(name), trained.checkpoint(name)) else directory
            for name in plan.backups
        }
        metrics = serve_clients(plan, trained, backups, directory, tracker)
    return metrics[f"serve/{plan.policies[-1]}/queries"]
