"""The folder of a run: what is drawn ahead goes into it at once, recordings policy by policy, metrics last."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from parity_exp.disturbances.trace import Disturbance, trace_text
from parity_exp.errors import UserError
from parity_exp.files.writing import write_text
from parity_exp.load import write_arrivals
from parity_exp.policies.policy import Policy
from parity_exp.process.side_channels import beside
from parity_exp.recordings.looks import Looks, declared_look, write_looks
from parity_exp.recordings.names import METRICS
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.scenario.description import describe
from parity_exp.scenario.result import ServingResult
from parity_exp.scenario.scenario import Draw, Scenario


def prepared(
    folder: str | Path | None, scenario: Scenario, more: Mapping[str, Any], earlier: Mapping[str, float] | None = None
) -> Path | None:
    """The folder, which is there when this returns, and says what is run and how policies look.

    Args:
        folder: where; None: nowhere.
        scenario: what is served or simulated.
        more: further parts of its description, such as ``pool``.
        earlier: metrics of what was done in the folder before; None: there has to be nothing.

    Raises:
        UserError: it cannot be made, or is another run's.
    """
    if folder is None:
        return None
    path = Path(folder)
    if earlier is None and (path / METRICS).is_file():
        raise UserError(f"folder={path}: it holds another run; give another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder={path}: {error.strerror}") from None
    describe(path, scenario, more)
    write_looks(path, scenario.made)
    return path


def write_draw(folder: Path, draw: Draw) -> None:
    """Write what chance has made: the straggler trace and the arrivals."""
    run = RunDirectory(folder)
    write_text(run.trace, trace_text(draw.trace))
    write_arrivals(run.arrivals, draw.arrivals_s)


def trace_table(rows: list[Disturbance]) -> pd.DataFrame:
    """The trace as who reads ``straggler-trace.csv`` has it."""
    return pd.read_csv(io.StringIO(trace_text(rows)))


def looks_of(policies: Mapping[str, Policy]) -> Looks:
    """What policies say of themselves, by name."""
    return {name: declared_look(name, type(policy)) for name, policy in policies.items()}


def finished(result: ServingResult, folder: Path | None, others: Mapping[str, float]) -> ServingResult:
    """Draw figures into the folder, and write its metrics, as the last of its files.

    Args:
        result: of the run.
        folder: its folder; None: nothing is written.
        others: metrics of what was done in the folder before.
    """
    if folder is None:
        return result
    run = RunDirectory(folder)
    files: tuple[Path, ...] = ()
    with beside("figures"):
        from parity_exp.analysis.figures.files import save  # Matplotlib takes a second

        files = tuple(save(result.figures(), run.figures))
    run.write_metrics({**others, **result.metrics})
    return replace(result, folder=folder, figure_files=files)
