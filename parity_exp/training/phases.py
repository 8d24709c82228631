"""The two phases of training, base and coded, in this process or in several.

A phase's outcome is in files, the best weights of each part, so that it does not matter who ran it.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from torch import nn

from parity_exp.data import Splits
from parity_exp.errors import UserError
from parity_exp.models import load_weights, origin_of, save_weights
from parity_exp.recordings.names import HISTORY
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import base_cache
from parity_exp.training.callbacks import EpochListener
from parity_exp.training.coded_model import CodedModel
from parity_exp.training.fit import Fitted, fit
from parity_exp.training.labelled_model import LabelledModel
from parity_exp.training.machine import Machine
from parity_exp.training.study import Study

log = logging.getLogger(__name__)

CODED = "coded"
"""The name of the phase that trains a code; others are called as the model that they train."""

PhaseListener = Callable[[str, dict[str, float]], None]
"""Is told the name of what is trained, and each row of its history."""


class Work(Protocol):
    """What one process does in a phase."""

    def __call__(
        self, folder: Path, history: Path, listener: EpochListener | None = None, show_progress: bool = True
    ) -> Fitted:
        """Train.

        Args:
            folder: where checkpoints go.
            history: the CSV file with a row an epoch.
            listener: is told each row.
            show_progress: whether there is a progress bar.
        """
        ...


Runner = Callable[[str, Work, RunDirectory, Path, Path, EpochListener], Fitted]
"""Runs a phase, given its name, one process's work, the run, folder, history and listener: in several processes."""


@dataclass(frozen=True)
class Training:
    """How and where training is done.

    Attributes:
        run: the run directory.
        listener: is told each epoch; None: nobody is.
        cache: folder with base models of all jobs; None: each is trained for its run alone.
        runner: runs a phase; None: in this process.
        show_progress: whether there is a progress bar.
    """

    run: RunDirectory
    listener: PhaseListener | None = None
    cache: Path | None = None
    runner: Runner | None = None
    show_progress: bool = True

    def phase(self, name: str, work: Work, folder: Path, history: Path) -> Fitted:
        """Run a phase."""

        def listener(row: dict[str, float]) -> None:
            if self.listener is not None:
                self.listener(name, row)

        if self.runner is not None:
            return self.runner(name, work, self.run, folder, history, listener)
        return work(folder, history, listener, self.show_progress)


def obtain_labelled(model: LabelledModel, splits: Splits, machine: Machine, training: Training) -> nn.Module:
    """A trained model: of the run itself, given, cached, or trained now; also left in the run directory.

    Args:
        model: what is wanted, the base model or another one beside it.
        splits: the data set.
        machine: what it is trained on.
        training: where it is to be, and who is told.

    Raises:
        CheckpointError: given weights are missing, unreadable, or of another network.
    """
    network, run = model.new_network(), training.run
    path, name = run.checkpoint(model.name), model.name
    work = partial(train_labelled, model, splits, machine)
    if path.is_file():
        _check_own(model, path)
        load_weights(path, network, "resume")
        return network
    origin: dict[str, str | bool] = {"whole": True}
    if model.given is not None:
        model.given(network)
    elif training.cache is None or model.facts is None:
        with tempfile.TemporaryDirectory() as folder:
            training.phase(name, work, Path(folder), run.history_of(name))
            load_weights(Path(folder, base_cache.WEIGHTS), network, f"{name} model")
    else:
        place = training.cache / str(model.key)
        fitted = base_cache.cached(model, place, partial(training.phase, name, work))
        load_weights(place / base_cache.WEIGHTS, network, f"cached {name} model")
        shutil.copyfile(place / HISTORY, run.history_of(name))
        origin = {"key": str(model.key), "whole": fitted.whole}
    run.checkpoints.mkdir(exist_ok=True)
    save_weights(path, name, network.state_dict(), origin)
    return network


def belongs(model: LabelledModel, path: Path) -> bool:
    """Whether the model in a checkpoint is the one that would be trained now."""
    return path.is_file() and origin_of(path, model.name).get("key") == model.key


def _check_own(model: LabelledModel, path: Path) -> None:
    """Refuse a model whose training was cut short, where it is to be trained in another way now.

    Raises:
        UserError: with what to do.
    """
    origin = origin_of(path, "resume")
    if origin.get("whole", True) or origin.get("key") == model.key:
        return
    raise UserError(
        f"resume: the training of the {model.name} model in {path} was cut short, by settings of the trainer that are "
        "others now; start a new run, or leave those settings as they were"
    )


def train_labelled(
    model: LabelledModel,
    splits: Splits,
    machine: Machine,
    folder: Path,
    history: Path,
    listener: EpochListener | None = None,
    show_progress: bool = True,
) -> Fitted:
    """Train a model that learns labels, in this process; see :class:`Work`."""
    module, data = model.phase(splits)
    facts = None if model.facts is None else model.facts()
    trainer, acceleration = machine.trainer(model.epochs), machine.acceleration
    return fit(
        module, data, trainer, folder, history, model.name, listener, acceleration, model.epochs, facts, show_progress
    )


def train_code(study: Study, training: Training) -> Fitted:
    """Train the code on the base model in the run directory, or go on with it."""
    assert isinstance(study.coded, CodedModel)
    run = training.run
    run.checkpoints.mkdir(exist_ok=True)
    work = partial(train_coded, study.coded, study, run)
    fitted = training.phase(CODED, work, run.checkpoints, run.history)
    if not fitted.whole:
        planned = study.coded.epochs
        log.warning("the code's training was cut short: %d of %d epochs, or less of each", fitted.epochs, planned)
    return fitted


def train_coded(
    coded: CodedModel,
    study: Study,
    run: RunDirectory,
    folder: Path,
    history: Path,
    listener: EpochListener | None = None,
    show_progress: bool = True,
) -> Fitted:
    """Train the code on the base model in the run directory, in this process; see :class:`Work`."""
    machine = study.machine
    base = study.base.new_network()
    load_weights(run.checkpoint("base"), base, "base model of the run")
    facts = None if coded.facts is None else coded.facts(base)
    module, data = coded.phase(base, study.splits, machine.device)
    trainer, acceleration = machine.trainer(coded.epochs), machine.acceleration
    return fit(
        module, data, trainer, folder, history, CODED, listener, acceleration, coded.epochs, facts, show_progress
    )
