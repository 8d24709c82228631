"""``evaluate``: measure a trained run again, from its checkpoints."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.api.results import Evaluated
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import overlaid, resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.sections import changed_by
from parity_exp.experiment.stored import stored_config
from parity_exp.experiment.trained_run import load_trained, warn_if_unfinished
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import measure, validated_quality


def run(composed: DictConfig) -> float:
    """Evaluate ``run=``, write a run directory of its own; return degraded quality in validation."""
    if composed.run is None:
        raise ConfigError("run: evaluate needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    trained = RunDirectory.existing(composed.run, "run")
    config = overlaid(stored_config(trained, "run", composed), resolved(composed), changed_by("evaluate"), "run")
    experiment = Experiment(config, trained=trained)
    parts = load_trained(experiment, trained, "run")
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    claim("evaluate", resolved(composed), directory, experiment.data_facts)
    warn_if_unfinished(trained)
    splits, device, how = experiment.splits, experiment.device, experiment.measuring
    with tracked("evaluate", config, directory) as tracker:
        evaluated = Evaluated(parts, measure(parts, splits, device, how))
        evaluated.publish(directory, tracker, config.dataset.name, experiment.k, experiment.r)
    return validated_quality(parts, splits, device, how.seed)
