"""Numbers of things are written as people write them, in pages as well."""

import re
from pathlib import Path

import pytest

from parity_exp.api.reporting import report
from parity_exp.words import POLICY, QUERY, counted
from tests.analysis.many_runs import write_many_runs

VERBS = ("is", "was", "has", "takes", "gives", "its", "this", "less")
SEVERAL_OF_ONE = re.compile(rf"(?<![\w.,=:/-])1 (?!(?:{'|'.join(VERBS)})\b)[a-z]+s\b")
"""Such as ``1 runs``, which nobody writes."""


def test_one_is_not_several() -> None:
    assert counted(1, "run") == "1 run" and counted(2, "run") == "2 runs" and counted(0, "run") == "0 runs"
    assert counted(1.0, *QUERY) == "1 query" and counted(12_000, *QUERY) == "12,000 queries"
    assert counted(3, *POLICY) == "3 policies"


@pytest.mark.parametrize(("trained", "served"), [(1, 0), (0, 1), (1, 1)])
def test_a_report_of_one_run_speaks_of_one(tmp_path: Path, trained: int, served: int) -> None:
    write_many_runs(tmp_path / "outputs", trained, served)
    report(f"{tmp_path}/outputs/**", folder=tmp_path / "page")
    page = re.sub(r"<[^>]*>", " ", (tmp_path / "page" / "report.html").read_text())
    assert counted(trained + served, "run") in page
    wrong = [page[max(0, at.start() - 60) :][:120] for at in SEVERAL_OF_ONE.finditer(page)]
    assert not wrong
