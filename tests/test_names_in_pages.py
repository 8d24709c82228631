"""Python in pages and examples imports modules and names by what they are called now, not in the last release."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_exp.moved_modules import NOW
from parity_exp.policies import policy
from tests.page_code import blocks

TOP = Path(__file__).parents[1]

OLD = {
    f"parity_exp.policies.policy.{name}"
    for name, value in vars(policy).items()
    if getattr(value, "__name__", name) != name and getattr(value, "__module__", "").startswith("parity_exp.")
} | {f"parity_exp.{name}" for name in NOW}
"""Modules, and names in them that are second ones of the same class."""

FILES = sorted([TOP / "README.md", *(TOP / "docs").rglob("*.md"), *(TOP / "examples").glob("*")])


def snippets(path: Path) -> Iterator[str]:
    text = path.read_text()
    if path.suffix == ".py":
        yield text
    elif path.suffix == ".ipynb":  # whose lines with a % are for the notebook
        text = re.sub(r'"%[^"]*"', '""', text)
        yield from ("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    else:
        yield from (text for language, text in blocks(path) if language == "python")


def imported(source: str) -> set[str]:
    """Modules that a program imports, and names that it takes out of them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_old_names_are_seen() -> None:
    assert {"parity_exp.policies.policy.Task", "parity_exp.policies.policy.Source", "parity_exp.serving.policy"} <= OLD
    assert "parity_exp.policies.policy.Work" not in OLD
    assert imported("from parity_exp.policies.policy import Task as T, Role") & OLD == {
        "parity_exp.policies.policy.Task"
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_programs_use_the_names_of_today(path: Path) -> None:
    if path.is_file():
        assert not {name for source in snippets(path) for name in imported(source)} & OLD
