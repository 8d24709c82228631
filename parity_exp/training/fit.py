"""Run one phase of training: a module, its data, and a trainer, with history and checkpoints in a folder."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.trainer.states import TrainerStatus

from parity_exp.checks import SettingError
from parity_exp.devices.placement import device_of
from parity_exp.files.identity import Facts
from parity_exp.process.quiet import quiet_libraries
from parity_exp.training.acceleration import Acceleration
from parity_exp.training.callbacks import (
    AtomicCheckpointIO,
    BestAndLast,
    EpochListener,
    History,
    Progress,
)
from parity_exp.training.modules import TrainedModule

NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"

TrainerFactory = Callable[..., Trainer]


class _NoProfiler(PassThroughProfiler):
    """Times nothing, and does not build a context for each of the forty things a step could be timed in."""

    _NOTHING = nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._NOTHING


@dataclass(frozen=True)
class Fitted:
    """What a phase of training came to.

    Attributes:
        epochs: epochs of the whole run, those before a resume included.
        best_epoch: the epoch whose weights were kept, counted from 1.
        best_value: the validation quality it was chosen by.
        whole: whether training went through all of its epochs, and through all batches of each.
    """

    epochs: int
    best_epoch: int
    best_value: float
    whole: bool = True


def fit(
    module: TrainedModule,
    data: LightningDataModule,
    make_trainer: TrainerFactory,
    folder: Path,
    history: Path,
    name: str,
    listener: EpochListener | None = None,
    acceleration: Acceleration | None = None,
    planned: int | None = None,
    facts: Facts | None = None,
    show_progress: bool = True,
) -> Fitted:
    """Train to the last epoch, from ``folder/last.ckpt`` if it is there, and leave each part's best weights.

    Args:
        module: what is trained; on the trainer's device meanwhile, and where it was when this returns or raises.
        data: what it learns from.
        make_trainer: makes the Trainer from the callbacks and plugins it is given.
        folder: where the checkpoints go.
        history: the CSV file with a row an epoch.
        name: what the progress bar calls it.
        listener: is told each row of the history.
        acceleration: how a GPU is used; None: by all its means.
        planned: epochs that the training is to have; None: as many as the Trainer makes.
        facts: everything that determines the weights, how long they are trained aside.
        show_progress: whether there is a progress bar.

    Raises:
        KeyboardInterrupt: Ctrl-C; ``last.ckpt`` is whole, and training can go on from it.
        SettingError: the loss is no longer a number, no epoch was validated, or more epochs are trained already.
        CheckpointError: ``last.ckpt`` is unreadable, or the state of another training.
    """
    quiet_libraries()
    best, rows = BestAndLast(folder, facts), History(history, listener)
    trainer = make_trainer(
        callbacks=[rows, Progress(name, module.monitor, show_progress), best],
        plugins=[AtomicCheckpointIO()],
        profiler=_NoProfiler(),
    )
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    home = device_of(module)
    acceleration, device = acceleration or Acceleration(), trainer.strategy.root_device
    module.recorder = acceleration.recorder(device)
    try:
        with _quick_cuda_check(), acceleration.applied(module, device):
            trainer.fit(module, data, ckpt_path=best.last if best.last.is_file() else None)
    except MisconfigurationException:
        _check_length(best.epochs, trainer.max_epochs)
        raise
    except SystemExit:
        if trainer.state.status == TrainerStatus.INTERRUPTED:
            # Lightning turns Ctrl-C into an exit; whoever called us has things to close.
            raise KeyboardInterrupt from None
        raise
    finally:
        module.forget_recordings()
        module.to(home)
        # Lightning also stops listening to Ctrl-C for good.
        if on_ctrl_c is not None and signal.getsignal(signal.SIGINT) is not on_ctrl_c:
            _restore(on_ctrl_c)
    _check_length(best.epochs, trainer.max_epochs)
    epochs = trainer.current_epoch
    if trainer.is_global_zero:
        # Where nothing was left to train, the files may have gone since all the same.
        best.write_best(module)
        rows.write()
    if trainer.is_global_zero and not best.best_epoch:
        raise SettingError(
            f"{{trainer}}: none of the {epochs} epochs of the {name} model was validated, so that none can be chosen; "
            "set {check_val_every_n_epoch} to at most the epochs that there are, and leave {limit_val_batches} and "
            "{max_time} out"
        )
    return Fitted(epochs, best.best_epoch, best.best_value, best.whole and (planned is None or epochs >= planned))


def _check_length(done: int, wanted: int | None) -> None:
    if wanted is not None and 0 <= wanted < done:
        raise SettingError(
            f"{{epochs}}={wanted}: {done} epochs are trained already; give as many or more, or start a new run"
        )


@contextmanager
def _quick_cuda_check() -> Iterator[None]:
    """Undo for a while what importing Lightning does to torch's check for GPUs.

    Optimizers make that check in every step. By way of NVML, as Lightning sets it, it opens a library each time,
    which on machines without a GPU takes as long as a tenth of a small step.
    """
    value = os.environ.pop(NVML_CHECK, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[NVML_CHECK] = value


def _restore(handler: object) -> None:
    # Outside the main thread handlers cannot be set, and Lightning has not set one.
    with suppress(ValueError):
        signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]
