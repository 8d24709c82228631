"""Tracking by files alone: a row a job in one table that all jobs share, for people who live in spreadsheets."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from filelock import FileLock

from parity_exp.files.writing import write_text
from parity_exp.ranges import Text
from parity_exp.tracking.tracker import Job, NoTracker


class CsvTracker(NoTracker):
    """Adds the job's config and final metrics as a row to ``<outputs>/jobs.csv``.

    Args:
        path: the table; below the outputs folder where it is not given.
    """

    def __init__(self, path: Text | None = None) -> None:
        self.path = path

    def start(self, job: Job) -> None:
        self.job = job
        self.table = Path(self.path or Path(str(job.config["outputs"]), "jobs.csv"))

    def results(self, metrics: Mapping[str, float], tables: Mapping[str, pd.DataFrame]) -> None:
        config: dict[str, object] = dict(pd.json_normalize(dict(self.job.config)).iloc[0])
        row = {"command": self.job.command, "run": str(self.job.run_dir), "sweep": self.job.sweep, **metrics, **config}
        self.table.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.table}.lock"):
            earlier = pd.read_csv(self.table).to_dict("records") if self.table.is_file() else []
            write_text(self.table, pd.DataFrame([*earlier, row]).to_csv(index=False))
