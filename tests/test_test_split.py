"""Samples of the test split measure; they choose nothing: no epoch, no setting, no trial of a sweep."""

import ast
import re
from pathlib import Path

import pytest

import parity_exp

PACKAGE = Path(parity_exp.__file__).parent

SELECTING = (
    "analysis/runs/best_settings.py",
    "experiment/untrained_codes.py",
    "training/callbacks.py",
    "training/code_choice.py",
    "training/fit.py",
    "training/modules.py",
    "training/settings_search.py",
)
"""Where something is chosen: best settings of reports, settings of codes, epochs, what is minimised."""

OF_TEST = re.compile(
    r"test/|\.test\b|test_split|(?:on|by|with|does better) (?:the )?test (?:data|images|samples|split)"
)


@pytest.mark.parametrize("name", SELECTING)
def test_what_selects_reads_nothing_of_the_test_split(name: str) -> None:
    text = (PACKAGE / name).read_text()
    if name == "analysis/runs/best_settings.py":
        # It tells of the test split what validation has chosen; the value that is told is in no comparison.
        choosing = ast.get_source_segment(text, next(n for n in ast.parse(text).body if isinstance(n, ast.Assign)))
        assert choosing is not None and choosing.startswith("CHOOSING") and not OF_TEST.search(choosing)
        assert re.findall(r"\bTOLD\b", text) == ["TOLD"] * 2 and "told = groups[TOLD].mean()" in text
        assert re.findall(r"(\w+)\.to_numpy\(\)\.argmax", text) == ["values"]
        return
    found = [line.strip() for line in text.splitlines() if OF_TEST.search(line)]
    assert not found


def test_sweepers_get_nothing_of_the_test_split() -> None:
    returned: dict[str, list[str]] = {}
    for path in (PACKAGE / "commands").glob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef) and function.name in ("run", "run_plan"):
                returns = [node for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
                returned[path.name] = [ast.unparse(node) for node in returns]
    assert {"train.py", "evaluate.py", "serve.py", "simulate.py"} <= returned.keys()
    for name, statements in returned.items():
        assert statements, name
        assert not [text for text in statements if "test/" in text or "accuracy" in text], name
    assert "VALIDATED" in returned["train.py"][-1] and "validated_quality" in returned["evaluate.py"][-1]


def test_comments_do_not_argue_from_the_test_split() -> None:
    argued = re.compile(r"#.*\b(better|best|worse|higher|lower)\b.*\btest (data|images|samples|split)")
    for path in [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "conf").rglob("*.yaml")]:
        assert not [line for line in path.read_text().splitlines() if argued.search(line)], path
