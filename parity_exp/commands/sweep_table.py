"""After a multirun: one table of all its jobs, as a file and in the terminal."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from parity_exp.analysis.tables import show
from parity_exp.files import write_text
from parity_exp.run_directory import RunDirectory

SHOWN = re.compile(r"test/(available|degraded|reconstruction)_[a-z]+")
"""The metrics of the short table: no ranks beyond the first, and one loss."""


class SweepTable(Callback):
    """Writes ``sweep.csv`` into the sweep's directory and prints its most important columns."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        table = sweep_table(folder)
        if table.empty:
            return
        write_text(folder / "sweep.csv", table.to_csv(index=False))
        shown = [name for name in table.columns if not name.startswith(("test/", "train/")) or SHOWN.fullmatch(name)]
        short = table[shown].rename(columns=lambda name: name.removeprefix("test/").replace("_", " "))
        show(f"{len(table)} jobs", short, f"all columns: {folder / 'sweep.csv'}")


def sweep_table(folder: Path) -> pd.DataFrame:
    """A row a finished job: its number, what it overrode, and its metrics."""
    jobs = [RunDirectory(path.parent) for path in folder.glob("*/metrics.json")]
    rows = []
    for job in sorted(jobs, key=lambda job: (len(job.path.name), job.path.name)):
        overrides = OmegaConf.load(job.path / ".hydra" / "overrides.yaml")
        choices = dict(str(override).lstrip("+").partition("=")[::2] for override in overrides)
        rows.append({"job": job.path.name, **choices, **job.read_metrics()})
    return pd.DataFrame(rows)
