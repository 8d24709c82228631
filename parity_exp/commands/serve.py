"""``serve``: serve a trained run on a pool of instances, under stragglers, with each redundancy policy in turn."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.report import write_report
from parity_exp.commands.assembly import Experiment
from parity_exp.commands.job import overlaid, resolved, tracked
from parity_exp.commands.results import load_trained
from parity_exp.commands.serving import SECTIONS, Serving, serve_policies
from parity_exp.errors import ConfigError
from parity_exp.run_directory import RunDirectory

MAY_CHANGE = (*SECTIONS, "seed", "dataset", "trainer", "tracker", "outputs")


def run(composed: DictConfig) -> float:
    """Serve ``run=``, write a run directory of its own; return the last policy's p99.9, for sweepers to minimise."""
    if composed.run is None:
        raise ConfigError("run: serve needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    trained = RunDirectory.existing(composed.run, "run")
    config = overlaid(trained.read_config(), resolved(composed), MAY_CHANGE, "run", SECTIONS)
    experiment = Experiment(config)
    serving = Serving(experiment)
    load_trained(experiment, trained, "run")
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    with tracked("serve", config, directory) as tracker:
        metrics = serve_policies(serving, trained, experiment.code, directory, tracker)
        directory.write_metrics(metrics)
        write_report(directory.path)
    return metrics[f"serve/{serving.policies[-1]}/latency_ms/p99.9"]
