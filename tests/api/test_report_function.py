"""``parity_exp.report``."""

from pathlib import Path

import pytest

from parity_exp import report
from parity_exp.errors import UserError
from tests.conftest import Trained


def test_runs_are_compared_in_tables_and_on_a_page(trained: Trained, tmp_path: Path) -> None:
    run_dir = trained()
    compared = report(run_dir, folder=tmp_path / "page")
    assert len(compared.runs) == 1 and compared.metrics["report/runs"] == 1 and not compared.problems
    assert compared.html == (tmp_path / "page" / "report.html").read_text()
    assert report([run_dir]).folder is None
    assert not list(run_dir.glob("report.html"))


def test_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run directories there"):
        report(tmp_path / "**")
