"""The scripts in ``examples`` run as they are, and print a row for each policy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("script", "policies"),
    [
        pytest.param("serve_my_model.py", ["none", "equal_resources", "hedged"], marks=pytest.mark.slow),
        ("simulate_my_policy.py", ["none", "equal_resources", "replication", "second_after_awhile"]),
    ],
)
def test_a_script_prints_a_row_for_each_policy(script: str, policies: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    title, columns, *rows = done.stdout.splitlines()
    assert "queries at" in title and "p99.9 ms" in columns
    assert [row.split()[0] for row in rows] == policies
    assert all(row.split()[-1] == "0" for row in rows)  # nothing was lost
    assert not list(tmp_path.iterdir())
