"""A phase of training in as many processes as the trainer's settings ask for.

Each process makes its objects from the run directory's config, so that nothing has to be sent to it.
"""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from torch import nn

from parity_exp.errors import UserError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.backups import base_weights_of
from parity_exp.experiment.explanations import explanation
from parity_exp.experiment.machine import processes
from parity_exp.experiment.stored import read_config
from parity_exp.process import world
from parity_exp.process.ranks import run_in_processes
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import Fitted, Training, obtain_labelled
from parity_exp.training.callbacks import EpochListener
from parity_exp.training.phases import CODED, PhaseListener, Work, train_coded, train_labelled


def obtain_labelled_of(experiment: Experiment, section: str, run: RunDirectory, listener: PhaseListener) -> nn.Module:
    """The trained model of a section; see :func:`parity_exp.training.obtain_labelled`.

    Args:
        experiment: says how it is trained.
        section: ``base``, or one of the small models, ``backup`` and ``multiplexed_backup``.
        run: where it is to be.
        listener: is told each epoch.
    """
    training = training_in(experiment, run, listener)
    return obtain_labelled(experiment.labelled_model(section), experiment.splits, experiment.machine, training)


def training_in(experiment: Experiment, run: RunDirectory, listener: PhaseListener) -> Training:
    """Training into a run directory, with the base models of all jobs at hand."""
    return Training(run, listener, Path(experiment.config.outputs, "base"), partial(run_phase, experiment))


def run_phase(
    experiment: Experiment,
    name: str,
    work: Work,
    run: RunDirectory,
    folder: Path,
    history: Path,
    listener: EpochListener,
) -> Fitted:
    """Run a phase; see :data:`parity_exp.training.phases.Runner`."""
    count = processes(experiment.config.trainer)
    places = (run.path, folder, history)
    if world.size() > 1:
        with world.leading(phase_of_run, name, *(path.absolute() for path in places)):
            return work(folder, history, listener)
    if count > 1:
        return run_in_processes(count, explained_phase_of_run, (name, *places), history, listener)
    return work(folder, history, listener)


def phase_of_run(name: str, run_dir: Path, folder: Path, history: Path) -> Fitted:
    """One process's part in a phase: everything comes from the run directory's config."""
    run = RunDirectory(run_dir)
    config: DictConfig = read_config(run)
    experiment = Experiment(config, trained=run)
    experiment.base_weights = base_weights_of(config, run)
    if name == CODED:
        return train_coded(experiment.coded_model, experiment.study, run, folder, history)
    return train_labelled(experiment.labelled_model(name), experiment.splits, experiment.machine, folder, history)


def explained_phase_of_run(name: str, run_dir: Path, folder: Path, history: Path) -> Fitted:
    """The same in a process of ours, whose errors reach the user by way of another.

    Raises:
        UserError: whatever the user can mend, in a line.
    """
    try:
        return phase_of_run(name, run_dir, folder, history)
    except Exception as error:
        line = explanation(error)
        if line is None:
            raise
        raise UserError(line) from error
