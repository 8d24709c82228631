"""The trained networks and the code of a run directory, for the commands that measure or serve it again."""

import logging
from dataclasses import replace

import torch

from parity_exp.experiment.assembly import Experiment
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import normal_outputs
from parity_exp.training.trained_parts import TrainedParts, load_parts

log = logging.getLogger(__name__)


def warn_if_unfinished(trained: RunDirectory) -> None:
    """Say so where a run is measured or served whose training has not ended."""
    if not trained.metrics.is_file():
        log.warning("run=%s: it has no metrics.json, so its training has not ended; go on with resume=", trained.path)


def load_trained(experiment: Experiment, trained: RunDirectory, key: str) -> TrainedParts:
    """The base model and the parity models of a run, and its encoder and decoder inside the experiment's code.

    Of a non-systematic code there is only the base model.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    base = experiment.new_base_network()
    if experiment.systematic:
        members = [experiment.new_base_network() for _ in range(experiment.k)] if experiment.over_models else []
        parts = TrainedParts(base, experiment.new_parity_networks(), experiment.code, members=members)
    else:
        parts = TrainedParts(base, [], experiment.non_systematic_code)
    backups = {
        section: experiment.new_base_network(section) for section in experiment.config.evaluation.get("backups") or ()
    }
    return load_parts(replace(parts, backups=backups), trained, key)


def normal_outputs_of(experiment: Experiment, trained: RunDirectory) -> tuple[torch.Tensor, torch.Tensor]:
    """See :func:`parity_exp.training.normal_outputs`.

    Args:
        experiment: says what was trained; its code gets the trained encoder and decoder.
        trained: where the checkpoints are.
    """
    parts = load_trained(experiment, trained, "run")
    return normal_outputs(parts, experiment.splits, experiment.device, experiment.seed)
