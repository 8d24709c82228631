"""``serve``: serve a trained run on a pool of instances, under stragglers, with each redundancy policy in turn."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import overlaid, resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.sections import SERVED, changed_by
from parity_exp.experiment.served import serve_run
from parity_exp.experiment.serving import ServingPlan
from parity_exp.experiment.stored import stored_config
from parity_exp.experiment.trained_run import load_trained, warn_if_unfinished
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import belongs


def run(composed: DictConfig) -> float:
    """Serve ``run=``, write a run directory of its own; return the last policy's p99.9, for sweepers to minimise."""
    if composed.run is None:
        raise ConfigError("run: serve needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    trained = RunDirectory.existing(composed.run, "run")
    stored = stored_config(trained, "run", composed, SERVED)
    config = overlaid(stored, resolved(composed), changed_by("serve"), "run", SERVED)
    experiment = Experiment(config, trained=trained)
    plan = ServingPlan(experiment)
    load_trained(experiment, trained, "run")
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    experiment.base_weights = trained.checkpoint("base")
    claim("serve", resolved(composed), directory, experiment.data_facts)
    warn_if_unfinished(trained)
    with tracked("serve", config, directory) as tracker:
        # The run's own small models, where it has them and nobody asks for others.
        backups = {
            name: trained if belongs(experiment.labelled_model(name), trained.checkpoint(name)) else directory
            for name in plan.backups
        }
        metrics = serve_run(plan, trained, backups, directory, tracker, {})
    return metrics[f"serve/{plan.policies[-1]}/latency_ms/p99.9"]
