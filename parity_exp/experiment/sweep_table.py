"""After a multirun: one table of all its jobs, as a file and in the terminal."""

import logging
import re
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from parity_exp.analysis.tables.numbers import number
from parity_exp.analysis.tables.terminal import show
from parity_exp.errors import UserError
from parity_exp.files.identity import Identity
from parity_exp.files.writing import write_text
from parity_exp.process.side_channels import in_a_line
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.names import METRICS, SWEEP
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.words import counted

log = logging.getLogger(__name__)

PREFIXES = ("test/", "train/", "serve/", "simulate/")
SERVED = {"p50 ms": "latency_ms/p50", "p99 ms": "latency_ms/p99", "p99.9 ms": "latency_ms/p99.9", "gap ms": "gap_ms"}
SHOWN = re.compile(r"test/(available|degraded|reconstruction)_[a-z]+")
"""The metrics of the short table: no ranks beyond the first, and one loss."""


class SweepTable(Callback):
    """Writes ``sweep.csv`` into the sweep's directory and prints its most important columns."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        table = sweep_table(folder)
        if table.empty:
            return
        write_text(folder / SWEEP, table.to_csv(index=False))
        show(counted(len(table), "job"), _short(table), f"all columns: {folder / SWEEP}")


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """What of a sweep fits a terminal: what its jobs differ in, and a row a job, or one for each policy it served."""
    choices = [
        name
        for name in table.columns
        if not name.startswith(PREFIXES) and (name == "job" or len(table) == 1 or table[name].nunique(dropna=False) > 1)
    ]
    accuracies = [name for name in table.columns if SHOWN.fullmatch(name)]
    rows = []
    for job in table.to_dict("records"):
        measured = {str(name): value for name, value in job.items() if value == value}
        policies = metrics_by_policy(measured)
        named = {name: job[name] for name in choices}
        named |= {name.removeprefix("test/").replace("_", " "): job[name] for name in accuracies}
        for policy, values in policies.items():
            served = {name: number(values[key]) for name, key in SERVED.items() if key in values}
            quality = {"accuracy": values["accuracy"]} if "accuracy" in values else {}
            rows.append({**named, "policy": policy, **served, **quality})
        if not policies:
            rows.append(named)
    return pd.DataFrame(rows)


def sweep_table(folder: Path) -> pd.DataFrame:
    """A row a finished job: its number, what it overrode, and its metrics; damaged ones are left out and named."""
    jobs = [RunDirectory(path.parent) for path in folder.glob(f"*/{METRICS}")]
    rows = []
    for job in sorted(jobs, key=lambda job: (len(job.path.name), job.path.name)):
        try:
            rows.append({"job": job.path.name, **_choices(job), **job.read_metrics()})
        except Exception as error:
            log.warning("job %s is not in the table of the sweep: %s", job.path.name, in_a_line(error))
    return pd.DataFrame(rows)


def _choices(job: RunDirectory) -> dict[str, str]:
    identity = Identity.read(job.path)
    # Hydra's record is of the job that came last, even of one that was refused the folder.
    overrides = identity.overrides if identity else job.read_overrides()
    if overrides is None:
        raise UserError(f"{job.overrides}: not readable; restore it or run the job again")
    return dict(str(override).lstrip("+").partition("=")[::2] for override in overrides)
