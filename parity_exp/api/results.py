"""What training and evaluation give back: metrics, data frames, figures, and the trained networks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.measured_code import code_figures
from parity_exp.analysis.tables.quality import quality_table, score_name
from parity_exp.analysis.tables.terminal import show
from parity_exp.coding import Code, NonSystematicCode
from parity_exp.files.writing import write_text
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker
from parity_exp.training import Measured, TrainedParts


@dataclass(frozen=True)
class Evaluated:
    """How good a code is.

    Attributes:
        parts: the networks and the code.
        measured: what was measured of them on the test split.
        training: metrics of the training before, by their keys in ``metrics.json``; none where nothing was trained.
        history: a row an epoch of the coded model; None where it was not trained here.
        base_history: a row an epoch of the base model; None where it was not trained here.
        folder: the run directory; None where none was asked for.
    """

    parts: TrainedParts = field(repr=False)
    measured: Measured = field(repr=False)
    training: dict[str, float] = field(default_factory=dict, repr=False)
    history: pd.DataFrame | None = field(default=None, repr=False)
    base_history: pd.DataFrame | None = field(default=None, repr=False)
    folder: Path | None = None

    @property
    def base(self) -> nn.Module:
        """The base model."""
        return self.parts.base

    @property
    def parity_models(self) -> Sequence[nn.Module]:
        """The r parity models; none for a code over copies of the base model."""
        return self.parts.parity_models

    @property
    def code(self) -> Code | NonSystematicCode:
        """Encoder and decoder, or the code over copies of the base model."""
        return self.parts.code

    @cached_property
    def metrics(self) -> dict[str, float]:
        """By their keys in ``metrics.json``."""
        measured = self.measured.metrics
        costs = {name: value for name, value in measured.items() if name.startswith("cost/")}
        return {**{name: value for name, value in measured.items() if name not in costs}, **self.training, **costs}

    @property
    def per_class(self) -> pd.DataFrame:
        """A row a class with its samples and how good it is; empty where there are no classes."""
        return self.measured.evaluation.per_class

    @property
    def overall(self) -> pd.DataFrame:
        """Overall quality by the fraction of predictions that is unavailable."""
        return self.measured.evaluation.overall

    @property
    def table(self) -> pd.DataFrame:
        """A row for what was measured, a column a score."""
        return quality_table(self.measured.evaluation.metrics)

    def figures(self) -> dict[str, Figure]:
        """Matplotlib figures by name, drawn when they are asked for."""
        return code_figures(self.measured, self.history, self.base_history)

    def _repr_html_(self) -> str:
        html: str = self.table.to_html(index=False, float_format="{:.4f}".format)
        return html

    def write(self, run: RunDirectory) -> list[Path]:
        """Write tables, figures and, last, metrics; return the paths of the figures."""
        for name, table in self.measured.tables.items():
            write_text(run.table(name), table.to_csv(index=False))
        paths: list[Path] = []
        with beside("figures"):
            paths = save(self.figures(), run.figures)
        # Last of the files: who sees metrics.json finds everything else in place.
        run.write_metrics(self.metrics)
        return paths

    def kept(self, run: RunDirectory) -> "Evaluated":
        """The same, written into a run directory."""
        self.write(run)
        return replace(self, folder=run.path)

    def publish(self, run: RunDirectory, tracker: Tracker, name: str, k: int, r: int) -> None:
        """Write everything, tell a tracker, and print the table.

        Args:
            run: where to write.
            tracker: is told.
            name: the data set's.
            k: queries of a coding group.
            r: parity queries of one.
        """
        paths = self.write(run)
        tracker.results(self.metrics, {**self.measured.tables, "results": self.table})
        tracker.figures(paths)
        splits = self.measured.splits
        title = f"{name}, k={k}, r={r}: {score_name(splits.task.quality)} on {len(splits.test):,} test queries"
        show(title, self.table, f"run directory: {run.path}")
