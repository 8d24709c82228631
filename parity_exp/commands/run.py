"""``run``: train, evaluate, serve and report, from one composed config into one run directory."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.commands.train import train_and_evaluate
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.served import serve_run
from parity_exp.experiment.serving import ServingPlan
from parity_exp.experiment.untrained_codes import code_settled
from parity_exp.recordings.run_directory import RunDirectory


def run(composed: DictConfig) -> float:
    """Do it all; return the last policy's p99.9, for sweepers to minimise."""
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    asked = resolved(composed)
    config = code_settled(asked)
    experiment = Experiment(config)
    plan = ServingPlan(experiment)
    experiment.rehearse()
    claim("run", asked, directory, experiment.data_facts)
    with tracked("train", config, directory) as tracker:
        metrics = train_and_evaluate(experiment, directory, tracker)
    with tracked("serve", config, directory) as tracker:
        metrics |= serve_run(plan, directory, dict.fromkeys(plan.backups, directory), directory, tracker, metrics)
    return metrics[f"serve/{plan.policies[-1]}/latency_ms/p99.9"]
