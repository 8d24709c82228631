"""Train k different models from a common start, and average them into the parity models of a code over models."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from parity_exp.coding.fisher_averaging import DAMPINGS
from parity_exp.data import Samples, Splits
from parity_exp.data.groups import epoch_generator
from parity_exp.models import save_weights
from parity_exp.models.bank import Scaled
from parity_exp.policies.policy import parity_model
from parity_exp.training.fisher import Diagonal, diagonal_fisher, fisher_average
from parity_exp.training.labelled_model import Imitation
from parity_exp.training.members_evaluation import MembersEvaluator
from parity_exp.training.phases import Training, obtain_labelled
from parity_exp.training.study import AveragedModels, Study

SHARES, FISHER = 2, 3
"""Streams of random numbers: of which samples are whose, and of those that the Fisher information is measured on."""

DAMPING = "damping"


def train_members(study: Study, base: nn.Module, training: Training) -> list[nn.Module]:
    """The k models, each trained now or by the run before; also left in the run directory.

    Args:
        study: with a code over models.
        base: the trained base model, which they start from.
        training: where they are to be, and who is told.
    """
    coded = study.coded
    assert isinstance(coded, AveragedModels)
    alone = replace(training, cache=None, runner=None)

    def start(network: nn.Module, other: nn.Module) -> None:
        network.load_state_dict(other.state_dict())

    members = []
    for number, model in enumerate(coded.members):
        splits = share_of(study.splits, coded, number) if coded.shared_out else study.splits
        started = replace(model, imitation=Imitation(lambda: base, 0.0, start))
        members.append(obtain_labelled(started, splits, study.machine, alone))
    return members


def share_of(splits: Splits, coded: AveragedModels, number: int) -> Splits:
    """The data set with the k-th of the training split that a model learns from; no two share a sample."""
    order = torch.randperm(len(splits.train), generator=epoch_generator(coded.seed, 0, SHARES))
    return replace(splits, train=_some(splits.train, order[number :: coded.code.k]))


def average_members(study: Study, members: Sequence[nn.Module], training: Training) -> dict[str, float]:
    """Average the k models; the averages are left in the run directory.

    Each model's Fisher information is measured on samples that it learned from. A damping that is open is chosen by
    reconstruction quality on the validation split, and put into the code.

    Returns:
        ``damping`` and ``best_val_reconstruction_<quality>`` where it was open.
    """
    coded, splits, device = study.coded, study.splits, study.machine.device
    assert isinstance(coded, AveragedModels)
    code = coded.code
    diagonals = [
        diagonal_fisher(member, _fisher_queries(splits, coded, number), coded.seed, device)
        for number, member in enumerate(members)
    ]
    metrics: dict[str, float] = {}
    if code.damping is None:
        table = _tried(study, members, diagonals)
        quality = f"val_reconstruction_{splits.task.quality}"
        best = int(table[quality].to_numpy().argmax())
        code.damping = DAMPINGS[best]
        metrics = {DAMPING: code.damping, f"best_{quality}": float(table[quality].iloc[best])}
        if coded.keep is not None:
            coded.keep(code.damping, table)
    for row, weights in enumerate(code.rows.tolist()):
        name = parity_model(row)
        state = fisher_average([member.state_dict() for member in members], diagonals, weights, code.damping)
        scaled = Scaled(study.base.new_network(), float(code.k))
        scaled.network.load_state_dict(state)
        save_weights(training.run.checkpoint(name), name, scaled.state_dict())
    return metrics


def _tried(study: Study, members: Sequence[nn.Module], diagonals: Sequence[Diagonal]) -> pd.DataFrame:
    """How good predictions come back in validation by damping."""
    assert isinstance(study.coded, AveragedModels)
    code, splits, device = study.coded.code, study.splits, study.machine.device
    states = [member.state_dict() for member in members]
    rows = []
    for damping in DAMPINGS:
        averages: list[nn.Module] = []
        for weights in code.rows.tolist():
            averages.append(Scaled(study.base.new_network(), float(code.k)))
            averages[-1].network.load_state_dict(fisher_average(states, diagonals, weights, damping))  # type: ignore[union-attr]
        evaluator = MembersEvaluator(code, members, averages, device, splits.normalise)
        own = splits.validation
        measured = evaluator.evaluate(own, torch.zeros(len(own), splits.task.outputs), splits.task, (), 0)
        quality = splits.task.quality
        rows.append({DAMPING: damping, f"val_reconstruction_{quality}": measured.metrics[f"reconstruction_{quality}"]})
    return pd.DataFrame(rows)


def _fisher_queries(splits: Splits, coded: AveragedModels, number: int) -> Tensor:
    train = share_of(splits, coded, number).train if coded.shared_out else splits.train
    order = torch.randperm(len(train), generator=epoch_generator(coded.seed, number, FISHER))
    return splits.normalise(_some(train, order[: coded.code.samples]).inputs)


def _some(samples: Samples, rows: Tensor) -> Samples:
    return Samples(samples.inputs[rows], samples.labels[rows])
