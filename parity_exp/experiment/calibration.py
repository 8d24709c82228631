"""What is normal between the outputs of a trained code, from its validation split."""

import torch

from parity_exp.data import coding_groups
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.results import load_trained
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import Evaluator

GROUPS = 4_000
"""So many are drawn; where that takes more samples than there are, these are grouped anew."""


def normal_outputs(experiment: Experiment, trained: RunDirectory) -> tuple[torch.Tensor, torch.Tensor]:
    """Own predictions ``(G, k, *out)`` and parity outputs ``(G, r, *out)`` of groups from the validation split.

    Args:
        experiment: says what was trained; its code gets the trained encoder and decoder.
        trained: where the checkpoints are.
    """
    base, parity_models = load_trained(experiment, trained, "run")
    samples = experiment.splits.validation
    draws = -(-GROUPS // (len(samples) // experiment.k))
    groups = torch.cat([coding_groups(len(samples), experiment.k, experiment.seed, draw) for draw in range(draws)])
    predictions = experiment.predictions(base, samples.inputs)
    evaluator = Evaluator(experiment.code, parity_models, experiment.device, experiment.splits.normalise)
    return evaluator.outputs(samples, predictions, groups[:GROUPS])
