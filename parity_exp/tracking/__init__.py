"""Trackers: where a job's config, history, results and pictures are kept besides its run directory."""

from typing import TYPE_CHECKING, Any

from parity_exp.tracking.csv_tracker import CsvTracker
from parity_exp.tracking.guarded import Guarded
from parity_exp.tracking.tracker import Job, NoTracker, Tracker

if TYPE_CHECKING:
    from parity_exp.tracking.wandb_tracker import WandbTracker

__all__ = ["CsvTracker", "Guarded", "Job", "NoTracker", "Tracker", "WandbTracker"]


def __getattr__(name: str) -> Any:
    """Import W&B, which takes long, only for jobs that are tracked by it."""
    if name == "WandbTracker":
        from parity_exp.tracking.wandb_tracker import WandbTracker

        return WandbTracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
