"""The two phases of training, base and coded, in this process or in several.

A phase's outcome is in files, the best weights of each part, so that it does not matter who ran it.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig
from torch import nn

from parity_exp.commands import world
from parity_exp.commands.assembly import Experiment, processes
from parity_exp.commands.ranks import run_in_processes
from parity_exp.files import write_json
from parity_exp.models import load_weights, save_weights
from parity_exp.run_directory import RunDirectory
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
        load_weights(path, network, "resume")
        return network
    if given is not None:
        load_weights(given, network, f"{section}.checkpoint")
    else:
        cached = _cached_base(experiment, run, lambda row: listener(section, row), section)
        load_weights(cached / "base.ckpt", network, f"cached {section} model")
        shutil.copyfile(cached / "history.csv", run.path / f"{section}_history.csv")
    run.checkpoints.mkdir(exist_ok=True)
    save_weights(path, section, network.state_dict())
    return network


def _cached_base(experiment: Experiment, run: RunDirectory, listener: EpochListener, section: str) -> Path:
    """The folder of the trained base model; whoever comes first trains it, others wait."""
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
        if done.is_file():
            log.info("%s model: the one in %s, trained earlier", section, folder)
            return folder
        phase = partial(train_base, section=section)
        fitted = run_phase(phase, experiment, run, folder, folder / "history.csv", listener)
        write_json(done, asdict(fitted))
        (folder / "last.ckpt").unlink(missing_ok=True)
    finally:
        lock.release()
    return folder


def train_code(experiment: Experiment, run: RunDirectory, listener: PhaseListener) -> Fitted:
    """Train the code on the base model in the run directory, or go on with it."""
    return run_phase(train_coded, experiment, run, run.checkpoints, run.history, lambda row: listener("coded", row))


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
    make_trainer = experiment.make_trainer(experiment.config[section].max_epochs)
    return fit(module, data, make_trainer, folder, history, section, listener, experiment.acceleration)


def train_coded(
    experiment: Experiment, run_dir: Path, folder: Path, history: Path, listener: EpochListener | None
) -> Fitted:
    """Train the code in this process, on the base model in the run directory."""
    base = experiment.new_base_network()
    load_weights(RunDirectory(run_dir).checkpoint("base"), base, "base model of the run")
    module, data = experiment.coded_phase(base)
    make_trainer = experiment.make_trainer(experiment.config.trainer.max_epochs)
    return fit(module, data, make_trainer, folder, history, "coded", listener, experiment.acceleration)
