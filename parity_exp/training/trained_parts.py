"""A code with the networks that belong to it, all trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from parity_exp.coding import Code, NonSystematicCode
from parity_exp.data import Splits
from parity_exp.models import load_weights
from parity_exp.policies.policy import member_model
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training.evaluation import Evaluator
from parity_exp.training.members_evaluation import MembersEvaluator
from parity_exp.training.non_systematic_evaluation import NonSystematicEvaluator


@dataclass(frozen=True)
class TrainedParts:
    """A code with the networks that belong to it, all trained.

    Attributes:
        base: the base model.
        parity_models: r networks; none for a code over copies of the base model.
        code: encoder and decoder, or the code over copies.
        backups: small models that stand in for the base model, by name.
        members: the k different models that a code over models is for; none for others.
    """

    base: nn.Module
    parity_models: Sequence[nn.Module]
    code: Code | NonSystematicCode
    backups: Mapping[str, nn.Module] = field(default_factory=dict)
    members: Sequence[nn.Module] = ()

    def evaluator(
        self, splits: Splits, device: torch.device, noise_sigmas: Sequence[float] = ()
    ) -> Evaluator | NonSystematicEvaluator:
        """What measures them on a split."""
        if isinstance(self.code, NonSystematicCode):
            return NonSystematicEvaluator(
                self.code, self.base, device, splits.normalise, noise_sigmas, splits.correlated
            )
        if self.members:
            return MembersEvaluator(self.code, self.members, self.parity_models, device, splits.normalise)
        return Evaluator(self.code, self.parity_models, device, splits.normalise, splits.correlated)


def load_parts(parts: TrainedParts, run: RunDirectory, key: str) -> TrainedParts:
    """Give networks, encoder and decoder the weights of a run's checkpoints.

    Args:
        parts: takes the weights.
        run: has the checkpoints.
        key: what named the run, for messages.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    load_weights(run.checkpoint("base"), parts.base, key)
    for row, network in enumerate(parts.parity_models):
        load_weights(run.checkpoint(f"parity-{row}"), network, key)
    for name, network in parts.backups.items():
        load_weights(run.checkpoint(name), network, key)
    for number, network in enumerate(parts.members):
        load_weights(run.checkpoint(member_model(number)), network, key)
    if isinstance(parts.code, Code):
        for part, coder in (("encoder", parts.code.encoder), ("decoder", parts.code.decoder)):
            if coder.state_dict():
                load_weights(run.checkpoint(part), coder, key)
    return parts
