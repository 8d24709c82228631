"""What is normal between the outputs of a trained code, from its validation split."""

import torch

from parity_exp.coding import Code
from parity_exp.data import Splits, coding_groups
from parity_exp.training.coded_model import predictions
from parity_exp.training.evaluation import Evaluator
from parity_exp.training.trained_parts import TrainedParts

GROUPS = 4_000
"""So many are drawn; where that takes more samples than there are, these are grouped anew."""


def normal_outputs(
    parts: TrainedParts, splits: Splits, device: torch.device, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Own predictions ``(G, k, *out)`` and parity outputs ``(G, r, *out)`` of groups from the validation split.

    Args:
        parts: a systematic code and its networks.
        splits: the data set.
        device: where copies of them run.
        seed: of the grouping.
    """
    assert isinstance(parts.code, Code)
    samples, k = splits.validation, parts.code.k
    draws = -(-GROUPS // (len(samples) // k))
    alike = splits.alike(samples)
    groups = torch.cat([coding_groups(len(samples), k, seed, draw, alike) for draw in range(draws)])
    own = predictions(parts.base, samples.inputs, splits, device)
    evaluator = parts.evaluator(splits, device)
    assert isinstance(evaluator, Evaluator)
    return evaluator.outputs(samples, own, groups[:GROUPS])
