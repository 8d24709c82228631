"""The README is short, has its two commands, and the commands that answer its questions work."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import QUICK, Run, Trained

README = Path(__file__).parent.parent / "README.md"

QUICK_SERVING = ("load.queries=40", "pool.service_time_ms=2", "load.utilisation=null", "load.rate_qps=400")


def commands() -> list[list[str]]:
    """The arguments of every ``python -m parity_exp`` that is not part of an installation."""
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL) for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m parity_exp")]


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 8192


def test_the_readme_has_two_installations_and_six_commands_for_six_questions() -> None:
    assert len(re.findall("^python3 -m venv .*", README.read_text(), re.MULTILINE)) == 2
    assert len(commands()) == 6


@pytest.mark.slow  # that they compose is quickly seen, in tests/test_documents.py
@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_a_command_of_the_readme_works(run: Run, folder: Path, trained: Trained, arguments: list[str]) -> None:
    command = arguments[0]
    quick = {
        "train": [*QUICK, *([] if any(word.startswith("tracker=") for word in arguments) else ["tracker=none"])],
        "serve": ["tracker=none", *QUICK_SERVING],
        "simulate": ["tracker=none", "load.queries=400"],
        "report": [],
    }[command]
    if any(word.startswith("plan.") for word in arguments):
        quick += ["plan.percentile=90", "load.queries=2000", "redundancy=[hedged]"]
    if command in ("serve", "report"):
        earlier = folder / "outputs" / "train" / "2000-01-01" / "00-00-00"
        shutil.copytree(trained(), earlier)
        arguments = [word.replace("outputs/train/DATE/TIME", str(earlier)) for word in arguments]
    assert run(*arguments, *quick) == 0
