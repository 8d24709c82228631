"""What happens around training: history, checkpoints and the progress bar.

Each does its work once an epoch, or less; the bar adds one count a step.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor
from tqdm.std import tqdm

from parity_exp.checks import SettingError
from parity_exp.data.groups import Runs
from parity_exp.errors import CheckpointError
from parity_exp.files.identity import Facts, differences, listed
from parity_exp.files.moved_keys import moved_facts
from parity_exp.files.writing import write_text
from parity_exp.models.checkpoint import load_content, save_content, save_weights
from parity_exp.process.progress import bar
from parity_exp.recordings.names import LAST, checkpoint_of
from parity_exp.training.modules import TrainedModule

EpochListener = Callable[[dict[str, float]], None]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints in one step, and reads them without executing anything in them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_content(path, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return load_content(path, "resume")


class History(Callback):
    """Keeps a row an epoch in a CSV file, tells a listener, and ends training when the loss is no longer a number.

    The rows are in the state of training as well, so that on resuming they are those of the epochs that are not done
    again, whatever has become of the file.

    Args:
        path: the CSV file.
        listener: called with each row; its ``epoch`` counts from 1.
    """

    def __init__(self, path: Path, listener: EpochListener | None = None) -> None:
        self.path = path
        self.listener = listener
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.rows and trainer.is_global_zero and trainer.current_epoch > 0 and self.path.is_file():
            # The state of training was written before it kept the rows.
            earlier = pd.read_csv(self.path)
            self.rows = earlier[earlier["epoch"] <= trainer.current_epoch].to_dict("records")  # type: ignore[assignment]
        if trainer.is_global_zero:
            self.write()  # without the rows of epochs that are done again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started_s = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainedModule)
        loss = pl_module.mean_train_loss()
        if not math.isfinite(loss):
            raise SettingError(
                f"training diverged in epoch {trainer.current_epoch + 1}: the loss is {loss}; "
                "lower {optimizer.lr} (or {base_optimizer.lr} for the base model), or set {gradient_clip_val}"
            )
        if not trainer.is_global_zero:
            return
        row = {
            "epoch": trainer.current_epoch + 1,
            "train/loss": loss,
            **{name: float(value) for name, value in trainer.callback_metrics.items()},
            "train/lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/seconds": time.perf_counter() - self._started_s,
        }
        self.rows.append(row)
        header = not self.path.exists() or len(self.rows) == 1
        if header or len(self.rows[-2]) != len(row):
            self.write()
        else:
            with self.path.open("a") as stream:
                stream.write(",".join(str(value) for value in row.values()) + "\n")
        if self.listener:
            self.listener(row)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write all rows anew, where there are any."""
        if self.rows:
            write_text(self.path, pd.DataFrame(self.rows).to_csv(index=False))


class BestAndLast(Checkpoint):
    """Keeps the weights of the best epoch, and what is needed to go on after a kill.

    The best epoch is the one of the highest validation quality. Where a schedule brings the learning rate down, later
    epochs are better than a small validation set can tell: there it is the latest epoch whose quality is below the
    highest by no more than chance explains, a standard error.

    ``last.ckpt`` holds the state of training and the best weights so far; each part's best weights also go to a
    file of their own. Saving is put off while it would cost more than a fiftieth of the time, and always done
    at the end.

    Args:
        folder: where the checkpoints go.
        facts: everything that determines the weights, how long they are trained aside; ``last.ckpt`` carries them, and
            one with others is refused.

    Attributes:
        whole: whether every epoch so far went through all of its batches, in training and in validation.
        epochs: epochs so far.
    """

    COST = 0.02

    def __init__(self, folder: Path, facts: Facts | None = None) -> None:
        self.folder = folder
        self.facts = facts
        self.whole = True
        self.epochs = 0
        self.last = folder / checkpoint_of(LAST)
        self.highest = -math.inf
        self.best_value = -math.inf
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}
        self._best_is_written = True
        self._saved_epochs = 0
        self._saved_s = -math.inf
        self._cost_s = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "highest": self.highest,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "whole": self.whole,
            "epochs": self.epochs,
            "facts": None if self.facts is None else json.dumps(self.facts, default=str),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Files of before there were facts in them have none, and belong to the folder they are in.
        stored = state_dict.get("facts")
        facts = {} if stored is None or self.facts is None else moved_facts(json.loads(stored))
        if facts and self.facts is not None and (differing := differences(facts, self.facts)):
            raise CheckpointError(
                f"{self.last}: the state of another training, and what differs is {listed(differing)}; give another "
                "folder, or delete the file to train anew"
            )
        self.whole = state_dict.get("whole", True)
        self.epochs = self._saved_epochs = state_dict.get("epochs", 0)
        self.best_value = state_dict["best_value"]
        self.highest = state_dict.get("highest", self.best_value)
        self.best_epoch = state_dict["best_epoch"]
        self.best_weights = state_dict["best_weights"]
        self._best_is_written = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainedModule) and trainer.max_epochs is not None
        self.whole = self.whole and _went_through_all(trainer, pl_module)
        if trainer.is_global_zero:
            self._keep_best(trainer, pl_module)
        epoch = self.epochs = trainer.current_epoch + 1
        idle_s = time.perf_counter() - self._saved_s
        due = epoch == trainer.max_epochs or idle_s >= self._cost_s / self.COST
        # Saving waits for all processes, so the first one's clock decides for all.
        if trainer.strategy.broadcast(due):
            self._save(trainer, pl_module)

    def _keep_best(self, trainer: Trainer, module: TrainedModule) -> None:
        quality = trainer.callback_metrics.get(module.monitor)
        if quality is None:
            return
        value = float(quality)
        self.highest = max(self.highest, value)
        # Small validation sets tie often; of equals the later epoch is kept, whose training loss is lower.
        by_chance = _standard_error(self.highest, trainer) if trainer.lr_scheduler_configs else 0.0
        if value >= self.highest - by_chance:
            self.best_value = value
            self.best_epoch = trainer.current_epoch + 1
            self.best_weights = {key: weight.detach().cpu().clone() for key, weight in module.state_dict().items()}
            self._best_is_written = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainedModule)
        if self._saved_epochs < self.epochs:  # it ended before the last epoch, for which saving was put off
            self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, module: TrainedModule) -> None:
        started_s = time.perf_counter()
        trainer.save_checkpoint(self.last)
        self.write_best(module)
        self._saved_epochs = self.epochs
        self._saved_s = time.perf_counter()
        self._cost_s = self._saved_s - started_s

    def write_best(self, module: TrainedModule) -> None:
        """Write the best weights, unless their files are known to hold them."""
        if self._best_is_written or not self.best_weights:
            return
        for part, prefix in module.parts().items():
            save_weights(self.folder / checkpoint_of(part), part, part_weights(self.best_weights, prefix))
        self._best_is_written = True


def _standard_error(quality: float, trainer: Trainer) -> float:
    """Of a mean over the validation samples, at most: scores from 0 to 1 with mean m vary by no more than m (1 - m)."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return math.sqrt(max(0.0, quality * (1 - quality)) / len(data.splits.validation))


def _went_through_all(trainer: Trainer, module: TrainedModule) -> bool:
    """Whether the epoch had all of its batches, and whether validation has all of its own."""
    runs, validation = trainer.train_dataloader, trainer.val_dataloaders
    assert isinstance(runs, Runs)
    trained = module.batches_in_epoch == len(runs.batches)
    return trained and (validation is None or sum(trainer.num_val_batches) == len(validation))


def part_weights(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights below a prefix, without it."""
    return {key.removeprefix(prefix): weight for key, weight in weights.items() if key.startswith(prefix)}


class Progress(Callback):
    """One progress bar for all epochs of a phase.

    Args:
        name: what is trained.
        shown: metric to show beside the bar.
        show: whether there is a bar at all.
    """

    def __init__(self, name: str, shown: str, show: bool = True) -> None:
        self.name = name
        self.shown = shown
        self.show = show
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        runs = trainer.train_dataloader
        assert isinstance(runs, Runs) and trainer.max_epochs is not None
        steps_an_epoch = len(runs.batches)
        self.run_length, self.steps_an_epoch = runs.length, steps_an_epoch
        self.bar = bar(
            f"{self.name:<6}",
            trainer.max_epochs * steps_an_epoch,
            "step",
            initial=trainer.current_epoch * steps_an_epoch,
            interval_s=0.1,
            show=self.show,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar is not None:
            self.bar.update(min(self.run_length, self.steps_an_epoch - batch_idx * self.run_length))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar is not None:
            value = float(trainer.callback_metrics.get(self.shown, torch.nan))
            epoch = trainer.current_epoch + 1
            text = f"epoch {epoch}/{trainer.max_epochs} {self.shown.partition('/')[2]} {value:.4f}"
            self.bar.set_postfix_str(text, refresh=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
