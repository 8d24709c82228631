"""Runs what is in ``examples`` as readers do."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_script(script: str, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A script with its words, in a folder, to its end."""
    return subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
