"""Trials that end early: each epoch's validation quality goes to the study, whose pruner compares it with others'."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from parity_exp.experiment.searching.studies import NAME, make_pruner, open_storage

SWEEPER = "hydra_plugins.parity_exp_optuna.OptunaSweeper"

PhaseListener = Callable[[str, dict[str, float]], None]


class PrunedError(Exception):
    """The trial that this job is ends here, for others did better up to this epoch."""


def pruned(listener: PhaseListener, quality: str) -> PhaseListener:
    """A listener that also tells the study of a search, and ends training where its pruner says so.

    Args:
        listener: is told each epoch as before.
        quality: of the task, ``accuracy`` or ``iou``.

    Returns:
        the listener itself for jobs that are no trials, or of searches without a pruner.
    """
    hydra: Any = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN or hydra.sweeper.get("_target_") != SWEEPER or hydra.sweeper.pruner is None:
        return listener
    report = _Reports(hydra)

    def tell(phase: str, row: dict[str, float]) -> None:
        listener(phase, row)
        value = row.get(f"val/degraded_{quality}")
        if phase == "coded" and value is not None:
            report(int(row["epoch"]), value)

    return tell


class _Reports:
    def __init__(self, hydra: Any) -> None:
        import optuna

        settings = hydra.sweeper
        self.storage = open_storage(settings.storage, Path(hydra.sweep.dir))
        name = settings.study_name or NAME
        self.study = optuna.load_study(study_name=name, storage=self.storage, pruner=make_pruner(settings.pruner))
        study_id = self.storage.get_study_id_from_name(name)
        # A trial's job has its number.
        self.trial = self.storage.get_trial_id_from_study_id_trial_number(study_id, int(hydra.job.num))

    def __call__(self, epoch: int, value: float) -> None:
        self.storage.set_trial_intermediate_value(self.trial, epoch, value)
        # Where several processes train, a thread follows them, and cannot end them.
        alone = threading.current_thread() is threading.main_thread()
        if alone and self.study.pruner.prune(self.study, self.storage.get_trial(self.trial)):
            raise PrunedError(f"pruned after epoch {epoch}")
