"""``evaluate``: measure a trained run again, from its checkpoints."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import overlaid, resolved, tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.results import evaluate_test_split, load_trained, validated_quality, warn_if_unfinished
from parity_exp.experiment.stored import stored_config
from parity_exp.recordings.run_directory import RunDirectory

MAY_CHANGE = ("dataset", "evaluation", "trainer", "tracker", "outputs")


def run(composed: DictConfig) -> float:
    """Evaluate ``run=``, write a run directory of its own; return degraded quality in validation."""
    if composed.run is None:
        raise ConfigError("run: evaluate needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    trained = RunDirectory.existing(composed.run, "run")
    config = overlaid(stored_config(trained, "run", composed), resolved(composed), MAY_CHANGE, "run")
    experiment = Experiment(config)
    base, parities = load_trained(experiment, trained, "run")
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    claim("evaluate", resolved(composed), directory, experiment.data_facts)
    warn_if_unfinished(trained)
    with tracked("evaluate", config, directory) as tracker:
        evaluate_test_split(experiment, base, parities, directory, tracker, {})
    return validated_quality(experiment, base, parities)
