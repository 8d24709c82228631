"""Trackers: where a job's config, history, results and pictures are kept besides its run directory."""

from parity_exp.tracking.csv_tracker import CsvTracker
from parity_exp.tracking.tracker import Job, NoTracker, Tracker
from parity_exp.tracking.wandb_tracker import WandbTracker

__all__ = ["CsvTracker", "Job", "NoTracker", "Tracker", "WandbTracker"]
