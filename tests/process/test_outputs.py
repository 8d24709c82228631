"""Whatever is wrong with what a command shows itself on, its work is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATE = "simulate load.queries=200 load.warmup=0 redundancy=none tracker=none hydra.run.dir=run"


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which ``$PROGRAM`` is the program."""
    variables = {"PROGRAM": f"{sys.executable} -m parity_exp", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **variables, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"$PROGRAM {SIMULATE} | true; exit ${{PIPESTATUS[0]}}", marks=pytest.mark.slow),
        pytest.param(f"$PROGRAM {SIMULATE} >/dev/full 2>/dev/full", marks=pytest.mark.slow),
        pytest.param(f"$PROGRAM {SIMULATE} >&- 2>&- <&-", marks=pytest.mark.slow),
    ],
)
def test_a_job_goes_on_without_an_output(folder: Path, line: str) -> None:
    done = shell(folder, line)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert {"metrics.json", "report.html"} <= {path.name for path in (folder / "run").iterdir()}


def test_a_full_output_is_said_once(folder: Path) -> None:
    done = shell(folder, "$PROGRAM --help >/dev/full")
    assert done.returncode == 0
    assert done.stderr == "standard output: No space left on device; what is still shown there is lost\n"


def test_no_file_gets_the_number_of_a_closed_output(folder: Path) -> None:
    code = (
        "from parity_exp import outputs; outputs.secure(); file = open('file', 'w');"
        "print('shown'); print(file.fileno(), file=file)"
    )
    done = shell(folder, f'{sys.executable} -c "{code}" >&- 2>&- <&-')
    assert done.returncode == 0
    assert int((folder / "file").read_text()) > 2


def test_characters_that_an_output_does_not_know_are_written_as_escapes(folder: Path) -> None:
    done = shell(folder, "$PROGRAM ü", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert "\\xfc" in done.stderr
