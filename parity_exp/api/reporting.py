"""Compare many runs, from a program or a notebook."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from parity_exp.analysis.pages.comparison import compared, write_comparison
from parity_exp.analysis.runs.tidy import Tidy, measured_codes
from parity_exp.analysis.tables.policy_map import map_points
from parity_exp.errors import UserError
from parity_exp.recordings.gathered import GatheredRun, gather


@dataclass(frozen=True)
class Report:
    """What many runs say together.

    Attributes:
        runs: a row a run: what it differs in, and its metrics.
        serving: a row a run and policy; empty where nothing was served.
        problems: by run directory a line for whatever is wrong with it.
        html: the page.
        folder: where page, tables and figures are; None where none was asked for.
        gathered: what was read of each run.
    """

    runs: pd.DataFrame
    serving: pd.DataFrame
    problems: dict[Path, Sequence[str]]
    html: str = field(repr=False)
    folder: Path | None
    gathered: Sequence[GatheredRun] = field(repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """How many runs there are, how many of them have problems, and how many policies were served."""
        return {
            "report/runs": float(len(self.gathered)),
            "report/problems": float(len(self.problems)),
            "report/policies": float(len(self.serving)),
        }

    def figures(self) -> dict[str, Figure]:
        """Matplotlib figures by name, drawn when they are asked for."""
        tidy = Tidy(self.gathered)
        plates = compared(tidy, measured_codes(tidy), map_points(tidy.serving, tidy.looks))
        return {name: plate.figure for name, plate in plates.items()}

    def _repr_html_(self) -> str:
        html: str = self.runs.to_html(index=False)
        return html


def report(runs: str | Path | Sequence[str | Path] = "outputs/**", *, folder: str | Path | None = None) -> Report:
    """Gather run directories into tables and one page that compares them::

        from parity_exp import report

        report("outputs/**", folder="comparison").serving

    Args:
        runs: run directories, folders above them, or patterns of the shell.
        folder: where to write the page, its figures and tables; None: nothing is written.

    Returns:
        Tables, the page, and figures.

    Raises:
        UserError: there are no run directories.
    """
    patterns = [str(one) for one in ([runs] if isinstance(runs, str | Path) else runs)]
    gathered = gather(patterns)
    if not gathered:
        raise UserError(
            f"runs={','.join(patterns)}: no run directories there (folders with a run's config.yaml, looked for from "
            f"{Path.cwd()}); give runs='FOLDER/**' with a folder below which `train` or `serve` has written"
        )
    with tempfile.TemporaryDirectory(prefix="parity-exp-") as temporary:
        place = Path(folder or temporary)
        place.mkdir(parents=True, exist_ok=True)
        done = write_comparison(gathered, place, patterns)
        html = done.page.read_text()
    problems = {one.path: one.problems for one in gathered if one.problems}
    return Report(done.runs, done.serving, problems, html, None if folder is None else Path(folder), gathered)
