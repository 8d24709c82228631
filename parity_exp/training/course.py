"""The course of training: the base model, a code on it, and how that went."""

from dataclasses import dataclass

import pandas as pd

from parity_exp.data import Splits
from parity_exp.files.writing import write_text
from parity_exp.models.bank import Scaled
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training.averaging import average_members, train_members
from parity_exp.training.code_choice import choose_settings
from parity_exp.training.fit import Fitted
from parity_exp.training.measuring import validated_quality
from parity_exp.training.phases import Training, obtain_labelled, train_code
from parity_exp.training.study import AveragedModels, Study, WholeCode
from parity_exp.training.trained_parts import TrainedParts, load_parts

VALIDATED = "train/best_val_degraded"
"""Metric of degraded quality in validation, before the quality's name."""


@dataclass(frozen=True)
class Course:
    """What training came to.

    Attributes:
        parts: the trained networks and their code.
        metrics: how training went, by their keys in ``metrics.json``.
    """

    parts: TrainedParts
    metrics: dict[str, float]


def train_study(study: Study, training: Training, seed: int = 0) -> Course:
    """Train what is not trained yet, and leave it in the run directory.

    Args:
        study: what is trained on what.
        training: where, and who is told.
        seed: of the grouping that validation quality is measured on.
    """
    splits, machine, run = study.splits, study.machine, training.run
    for name, content in (splits.texts.files if splits.texts is not None else {}).items():
        write_text(run.path / name, content)
    base = obtain_labelled(study.base, splits, machine, training)
    backups = {model.name: obtain_labelled(model, splits, machine, training) for model in study.backups}
    if isinstance(study.coded, WholeCode):
        chosen = choose_settings(study.coded.make, base, splits, machine.device, study.coded.seed)
        if chosen.table is not None:
            write_text(run.code_search(), chosen.table.to_csv(index=False))
        if study.coded.keep is not None:
            study.coded.keep(chosen)
        given = {**chosen.settings, **({} if chosen.last is None else {"last": chosen.last})}
        metrics = {f"train/{name}": value for name, value in chosen.metrics.items()} | _base_costs(run)
        parts = TrainedParts(study.base.new_network(), [], study.coded.make(**given), backups)
    elif isinstance(study.coded, AveragedModels):
        members = train_members(study, base, training)
        chosen_metrics = average_members(study, members, training)
        metrics = {f"train/{name}": value for name, value in chosen_metrics.items()} | _base_costs(run)
        code, new = study.coded.code, study.base.new_network
        parts = TrainedParts(
            new(), [Scaled(new(), float(code.k)) for _ in range(code.r)], code, backups, [new() for _ in range(code.k)]
        )
    else:
        fitted = train_code(study, training)
        metrics = _training_metrics(fitted, splits, study.coded.code.k, run)
        networks = study.coded.new_networks
        r = study.coded.code.r
        parities = networks() if networks is not None else [study.base.new_network() for _ in range(r)]
        parts = TrainedParts(study.base.new_network(), parities, study.coded.code, backups)
    load_parts(parts, run, "run")
    metrics[f"{VALIDATED}_{splits.task.quality}"] = validated_quality(parts, splits, machine.device, seed)
    return Course(parts, metrics)


def _base_costs(run: RunDirectory) -> dict[str, float]:
    """``train/base_seconds``; nothing where the base model is a user's own."""
    if not run.base_history.is_file():
        return {}
    return {"train/base_seconds": float(pd.read_csv(run.base_history)["train/seconds"].sum())}


def _training_metrics(fitted: Fitted, splits: Splits, k: int, run: RunDirectory) -> dict[str, float]:
    """How training went, from its histories.

    ``parity_seconds`` is what training the code took, validation included; ``base_seconds`` what training the base
    model took when it was trained, here or by an earlier job; a user's own model has none.
    """
    epochs_s = pd.read_csv(run.history)["train/seconds"]
    seconds = float(epochs_s.mean())
    costs = {"train/parity_seconds": float(epochs_s.sum())} | _base_costs(run)
    queries = len(splits.train) // k * k
    return {
        "train/epochs": fitted.epochs,
        "train/best_epoch": fitted.best_epoch,
        f"train/best_val_reconstruction_{splits.task.quality}": fitted.best_value,
        "train/seconds_per_epoch": seconds,
        "train/queries_per_second": queries / seconds,
        **costs,
    }
