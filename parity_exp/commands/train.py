"""``train``: a base model, a code for it, and how good both are on the test split."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.api.studies import train_and_measure
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.resuming import MAY_DIFFER, resumed_config
from parity_exp.experiment.searching.pruning import pruned
from parity_exp.experiment.several_processes import training_in
from parity_exp.experiment.untrained_codes import code_settled, keeping_choices
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker
from parity_exp.training import VALIDATED


def run(composed: DictConfig) -> float:
    """Train, evaluate and write the run directory; return what sweepers maximise, degraded quality in validation."""
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    resumed = composed.resume is not None
    asked = resolved(composed)
    if resumed:
        asked = resumed_config(asked, composed, directory)
    config = code_settled(asked)
    experiment = Experiment(config, trained=directory if resumed else None)
    experiment.rehearse()
    claim("train", asked, directory, experiment.data_facts, MAY_DIFFER if resumed else None)
    with tracked("train", config, directory, resumed) as tracker:
        metrics = train_and_evaluate(experiment, directory, tracker)
    return metrics[f"{VALIDATED}_{experiment.task.quality}"]


def train_and_evaluate(experiment: Experiment, directory: RunDirectory, tracker: Tracker) -> dict[str, float]:
    """Train what is not trained yet, measure it on the test split, and return the metrics."""
    listener = pruned(tracker.epoch, experiment.task.quality)
    training = training_in(experiment, directory, listener)
    experiment.base_weights = directory.checkpoint("base")
    study = keeping_choices(experiment, directory)
    trained = train_and_measure(study, training, experiment.measuring)
    trained.publish(directory, tracker, experiment.config.dataset.name, experiment.k, experiment.r)
    tracker.checkpoints(directory.all_checkpoints())
    return trained.metrics
