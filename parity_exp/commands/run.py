"""``run``: train, evaluate, serve and report, from one composed config into one run directory."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.pages.run import write_report
from parity_exp.commands.train import train_and_evaluate
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.serving import Serving, serve_policies
from parity_exp.experiment.untrained_codes import code_settled
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory


def run(composed: DictConfig) -> float:
    """Do it all; return the last policy's p99.9, for sweepers to minimise."""
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    asked = resolved(composed)
    config = code_settled(asked)
    experiment = Experiment(config)
    serving = Serving(experiment)
    experiment.rehearse()
    claim("run", asked, directory, experiment.data_facts)
    with tracked("train", config, directory) as tracker:
        metrics = train_and_evaluate(experiment, directory, tracker)
    with tracked("serve", config, directory) as tracker:
        served = serve_policies(serving, directory, directory, directory, tracker)
        metrics |= served.metrics
        directory.write_metrics(metrics)
        with beside("report"):
            write_report(directory.path)
        served.show(directory)
    return metrics[f"serve/{serving.policies[-1]}/latency_ms/p99.9"]
