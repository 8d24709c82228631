"""Names of the files of a run directory."""

import ast
from pathlib import Path

import pytest

import parity_exp
from parity_exp.recordings import names

PACKAGE = Path(parity_exp.__file__).parent
FILES = sorted(
    {value for value in vars(names).values() if isinstance(value, str) and value.endswith((".csv", ".json", ".yaml"))}
    - {names.TABLE}
)


def literals(path: Path) -> set[str]:
    """Strings in a module, its docstrings aside."""
    tree = ast.parse(path.read_text())
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
    }


def test_names_of_files_stand_in_one_module() -> None:
    assert {"config.yaml", "metrics.json", "arrivals.csv", "straggler-trace.csv", "plan.csv"} <= set(FILES)
    others = [path for path in PACKAGE.rglob("*.py") if path != Path(names.__file__)]
    found = {str(path.relative_to(PACKAGE)): literals(path) & set(FILES) for path in others}
    # The identity and Optuna's journal are files of theirs, which other folders have as well.
    assert {path: some for path, some in found.items() if some - {"identity.json"}} == {}


@pytest.mark.parametrize("policy", ["parity", "a b", "x-y.parquet", "line\nbreak"])
def test_a_policy_comes_back_from_the_name_of_its_file(policy: str) -> None:
    for kind in (names.QUERIES, names.TASKS, names.ERRORS, names.LATENCIES):
        assert kind.policy_of(kind(policy)) == policy


def test_other_files_are_of_no_policy() -> None:
    assert names.QUERIES.policy_of("tasks-parity.parquet") is None
    assert names.QUERIES.policy_of("queries-.parquet") is None
    assert names.QUERIES.policy_of("old queries-parity.parquet") is None
    assert names.QUERIES("*") == "queries-*.parquet"
