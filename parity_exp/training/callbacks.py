"""What happens around training: history, checkpoints and the progress bar.

Each does its work once an epoch, or less; the bar adds one count a step.
"""

import math
import sys
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
from tqdm import tqdm

from parity_exp.data.groups import Runs
from parity_exp.errors import ConfigError
from parity_exp.files import write_text
from parity_exp.models.checkpoint import load_content, save_content, save_weights
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

    On resuming, rows of epochs that are done again are dropped.

    Args:
        path: the CSV file.
        listener: called with each row; its ``epoch`` counts from 1.
    """

    def __init__(self, path: Path, listener: EpochListener | None = None) -> None:
        self.path = path
        self.listener = listener
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and trainer.current_epoch > 0 and self.path.is_file():
            earlier = pd.read_csv(self.path)
            self.rows = earlier[earlier["epoch"] <= trainer.current_epoch].to_dict("records")  # type: ignore[assignment]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started_s = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainedModule)
        loss = pl_module.mean_train_loss()
        if not math.isfinite(loss):
            raise ConfigError(
                f"training diverged in epoch {trainer.current_epoch + 1}: the loss is {loss}; "
                "lower optimizer.lr (or base.optimizer.lr for the base model), or set trainer.gradient_clip_val"
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
            self._rewrite()
        else:
            with self.path.open("a") as stream:
                stream.write(",".join(str(value) for value in row.values()) + "\n")
        if self.listener:
            self.listener(row)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self.rows:
            self._rewrite()

    def _rewrite(self) -> None:
        write_text(self.path, pd.DataFrame(self.rows).to_csv(index=False))


class BestAndLast(Checkpoint):
    """Keeps the weights of the best epoch, and what is needed to go on after a kill.

    ``last.ckpt`` holds the state of training and the best weights so far; each part's best weights also go to a
    file of their own. Saving is put off while it would cost more than a fiftieth of the time, and always done
    at the end.

    Args:
        folder: where the checkpoints go.
    """

    COST = 0.02

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.ckpt"
        self.best_value = -math.inf
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}
        self._best_is_written = True
        self._saved_s = -math.inf
        self._cost_s = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "best_epoch": self.best_epoch, "best_weights": self.best_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value = state_dict["best_value"]
        self.best_epoch = state_dict["best_epoch"]
        self.best_weights = state_dict["best_weights"]
        self._best_is_written = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TrainedModule) and trainer.max_epochs is not None
        if trainer.is_global_zero:
            self._keep_best(trainer, pl_module)
        epoch = trainer.current_epoch + 1
        idle_s = time.perf_counter() - self._saved_s
        due = epoch == trainer.max_epochs or idle_s >= self._cost_s / self.COST
        # Saving waits for all processes, so the first one's clock decides for all.
        if trainer.strategy.broadcast(due):
            self._save(trainer, pl_module)

    def _keep_best(self, trainer: Trainer, module: TrainedModule) -> None:
        value = trainer.callback_metrics.get(module.monitor)
        # Small validation sets tie often; of equals the later epoch, with the lower loss, does better on test data.
        if value is not None and float(value) >= self.best_value:
            self.best_value = float(value)
            self.best_epoch = trainer.current_epoch + 1
            self.best_weights = {key: weight.detach().cpu().clone() for key, weight in module.state_dict().items()}
            self._best_is_written = False

    def _save(self, trainer: Trainer, module: TrainedModule) -> None:
        started_s = time.perf_counter()
        trainer.save_checkpoint(self.last)
        if not self._best_is_written:
            for part, prefix in module.parts().items():
                save_weights(self.folder / f"{part}.ckpt", part, part_weights(self.best_weights, prefix))
            self._best_is_written = True
        self._saved_s = time.perf_counter()
        self._cost_s = self._saved_s - started_s


def part_weights(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights below a prefix, without it."""
    return {key.removeprefix(prefix): weight for key, weight in weights.items() if key.startswith(prefix)}


class Progress(Callback):
    """One progress bar for all epochs of a phase.

    Args:
        name: what is trained.
        shown: metric to show beside the bar.
    """

    def __init__(self, name: str, shown: str) -> None:
        self.name = name
        self.shown = shown
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        # Where nobody watches a terminal, a line now and then keeps logs short.
        watched = sys.stderr.isatty()
        runs = trainer.train_dataloader
        assert isinstance(runs, Runs) and trainer.max_epochs is not None
        steps_an_epoch = len(runs.batches)
        self.run_length, self.steps_an_epoch = runs.length, steps_an_epoch
        self.bar = tqdm(
            total=trainer.max_epochs * steps_an_epoch,
            initial=trainer.current_epoch * steps_an_epoch,
            desc=f"{self.name:<6}",
            unit="step",
            mininterval=0.1 if watched else 30,
            maxinterval=0.1 if watched else 30,
            dynamic_ncols=watched,
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
