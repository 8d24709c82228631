"""Processes that crash, hang or complain: a line each, and none is left."""

from pathlib import Path

import pytest

from parity_exp.doctor.children import Children


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("print('good')", ""),
        ("raise ValueError('no\\ngood')", "good"),
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11"),
        ("import sys; sys.exit(3)", "exit status 3"),
    ],
)
def test_how_a_process_ended_is_told_in_a_line(tmp_path: Path, program: str, problem: str) -> None:
    with Children() as children:
        said = children.ask(["-c", program], tmp_path, 60)
    assert said.problem == problem


def test_what_was_printed_before_a_crash_is_kept(tmp_path: Path) -> None:
    program = "import os; print('first', flush=True); os.kill(os.getpid(), 9)"
    with Children() as children:
        assert children.ask(["-c", program], tmp_path, 60).output == "first\n"


def test_who_hangs_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)"
    )
    with Children() as children:
        said = children.ask(["-c", program], tmp_path, 1)  # it would wait for the grandchild's end of the pipe
    assert said.problem == "no answer within 1 s"


def test_nothing_is_started_after_the_end(tmp_path: Path) -> None:
    with Children() as children:
        pass
    assert children.ask(["-c", ""], tmp_path, 60).problem
