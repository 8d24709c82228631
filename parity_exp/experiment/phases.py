"""The two phases of training, base and coded, in this process or in several.

A phase's outcome is in files, the best weights of each part, so that it does not matter who ran it.
"""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import DictConfig
from torch import nn

from parity_exp.errors import UserError
from parity_exp.experiment.assembly import Experiment, processes
from parity_exp.experiment.ranks import run_in_processes
from parity_exp.files.identity import Facts, Identity
from parity_exp.files.writing import write_json
from parity_exp.models import load_weights, origin_of, save_weights
from parity_exp.models.checkpoint import load_content
from parity_exp.process import world
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import Fitted, fit
from parity_exp.training.callbacks import EpochListener

log = logging.getLogger(__name__)

PhaseListener = Callable[[str, dict[str, float]], None]


def obtain_base(experiment: Experiment, run: RunDirectory, listener: PhaseListener, section: str = "base") -> nn.Module:
    """A trained model: of the run itself, the user's, cached, or trained now; also left in the run directory.

    Args:
        experiment: says what to train.
        run: where it is to be.
        listener: is told each epoch.
        section: ``base``, or ``backup`` for the small model of an approximate backup.

    Raises:
        CheckpointError: the user's checkpoint is missing, unreadable, or of another network.
    """
    network = experiment.new_base_network(section)
    path = run.checkpoint(section)
    given = experiment.config[section].checkpoint
    if path.is_file():
        _check_own(experiment, path, section)
        load_weights(path, network, "resume")
        return network
    if given is not None:
        load_weights(given, network, f"{section}.checkpoint")
        origin: dict[str, str | bool] = {"whole": True}
    else:
        cached, fitted = _cached_base(experiment, run, lambda row: listener(section, row), section)
        load_weights(cached / "base.ckpt", network, f"cached {section} model")
        shutil.copyfile(cached / "history.csv", run.path / f"{section}_history.csv")
        origin = {"key": experiment.base_key(section), "whole": fitted.whole}
    run.checkpoints.mkdir(exist_ok=True)
    save_weights(path, section, network.state_dict(), origin)
    return network


def belongs(experiment: Experiment, path: Path, section: str) -> bool:
    """Whether the model of a checkpoint is the one that a section's config would give now."""
    return path.is_file() and origin_of(path, section).get("key") == experiment.base_key(section)


def _check_own(experiment: Experiment, path: Path, section: str) -> None:
    """Refuse a model whose training was cut short, where it is to be trained in another way now.

    Raises:
        UserError: with what to do.
    """
    origin = origin_of(path, "resume")
    if origin.get("whole", True) or origin.get("key") == experiment.base_key(section):
        return
    raise UserError(
        f"resume: the training of the {section} model in {path} was cut short, by settings of the trainer that are "
        "others now; start a new run, or leave those settings as they were"
    )


def _cached_base(
    experiment: Experiment, run: RunDirectory, listener: EpochListener, section: str
) -> tuple[Path, Fitted]:
    """The folder of the trained base model; whoever comes first trains it, others wait.

    Only a training that ended as planned is marked as done. One that was cut short leaves its state, from which a job
    with the same settings goes on.
    """
    facts = experiment.base_facts(section)
    folder = Path(experiment.config.outputs, "base", experiment.base_key(section))
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "fitted.json"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another job trains the same %s model; waiting for it (%s)", section, folder)
        lock.acquire()
    try:
        network = experiment.new_base_network(section)
        fitted = _finished(folder, facts, network)
        if fitted is not None:
            log.info("%s model: the one in %s, trained earlier", section, folder)
            return folder, fitted
        _remove_damaged(folder, facts)
        Identity("base", facts).write(folder)
        phase = partial(train_base, section=section)
        fitted = run_phase(phase, experiment, run, folder, folder / "history.csv", listener)
        if fitted.whole:
            write_json(done, asdict(fitted))
            (folder / "last.ckpt").unlink(missing_ok=True)
        else:
            log.warning("the %s model's training was cut short after %d epochs", section, fitted.epochs)
    finally:
        lock.release()
    return folder, fitted


def _finished(folder: Path, facts: Facts, network: nn.Module) -> Fitted | None:
    """What training in a cache folder came to; None where it has not ended, or its files are not whole."""
    done = folder / "fitted.json"
    if not done.is_file():
        return None
    try:
        fitted = Fitted(**json.loads(done.read_text()))
        pd.read_csv(folder / "history.csv")["train/seconds"]
        load_weights(folder / "base.ckpt", network, "cached model")
        identity = Identity.read(folder)
        if identity is None or identity.key != Identity("base", facts).key or not fitted.whole:
            raise ValueError("made from something else")
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.warning("%s is marked as done, but not whole (%s); the model is trained anew", folder, reason)
        return None
    return fitted


def _remove_damaged(folder: Path, facts: Facts) -> None:
    """Remove what training cannot go on from."""
    (folder / "fitted.json").unlink(missing_ok=True)
    last = folder / "last.ckpt"
    identity = Identity.read(folder)
    if not last.is_file():
        return
    try:
        load_content(last, "the state of training in")
        if identity is not None and identity.key == Identity("base", facts).key:
            return
    except UserError as error:
        log.warning("%s; the model is trained anew", error)
    last.unlink()


def train_code(experiment: Experiment, run: RunDirectory, listener: PhaseListener) -> Fitted:
    """Train the code on the base model in the run directory, or go on with it."""
    fitted = run_phase(train_coded, experiment, run, run.checkpoints, run.history, lambda row: listener("coded", row))
    if not fitted.whole:
        planned = experiment.config.trainer.max_epochs
        log.warning("the code's training was cut short: %d of %d epochs, or less of each", fitted.epochs, planned)
    return fitted


Phase = Callable[[Experiment, Path, Path, Path, EpochListener | None], Fitted]


def run_phase(
    phase: Phase, experiment: Experiment, run: RunDirectory, folder: Path, history: Path, listener: EpochListener
) -> Fitted:
    """Run a phase in as many processes as the trainer asks for."""
    count = processes(experiment.config.trainer)
    if world.size() > 1:
        places = [path.absolute() for path in (run.path, folder, history)]
        with world.leading(phase_in_process, phase, *places):
            return phase(experiment, run.path, folder, history, listener)
    if count > 1:
        return run_in_processes(count, phase_in_process, (phase, run.path, folder, history), history, listener)
    return phase(experiment, run.path, folder, history, listener)


def phase_in_process(phase: Phase, run_dir: Path, folder: Path, history: Path) -> Fitted:
    """One process's part in a phase: everything comes from the run directory's config."""
    config: DictConfig = RunDirectory(run_dir).read_config()
    return phase(Experiment(config), run_dir, folder, history, None)


def train_base(
    experiment: Experiment,
    run_dir: Path,
    folder: Path,
    history: Path,
    listener: EpochListener | None,
    section: str = "base",
) -> Fitted:
    """Train the base model, or the backup, in this process."""
    module, data = experiment.base_phase(section)
    epochs = experiment.config[section].max_epochs
    facts = experiment.base_facts(section)
    return fit(
        module,
        data,
        experiment.make_trainer(epochs),
        folder,
        history,
        section,
        listener,
        experiment.acceleration,
        epochs,
        facts,
    )


def train_coded(
    experiment: Experiment, run_dir: Path, folder: Path, history: Path, listener: EpochListener | None
) -> Fitted:
    """Train the code in this process, on the base model in the run directory."""
    base = experiment.new_base_network()
    load_weights(RunDirectory(run_dir).checkpoint("base"), base, "base model of the run")
    facts = experiment.coded_facts(base)
    module, data = experiment.coded_phase(base)
    epochs = experiment.config.trainer.max_epochs
    return fit(
        module,
        data,
        experiment.make_trainer(epochs),
        folder,
        history,
        "coded",
        listener,
        experiment.acceleration,
        epochs,
        facts,
    )
