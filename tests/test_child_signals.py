"""Processes that tests start hear Ctrl-C, also where the suite runs in the background of a shell."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.child_signals import heard_by_default

CODE = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def test_a_child_hears_ctrl_c_where_its_parent_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        deaf = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        hearing = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, preexec_fn=heard_by_default
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (deaf.stdout, hearing.stdout) == ("False\n", "True\n")


def test_every_process_that_a_test_may_interrupt_is_started_so() -> None:
    deaf = []
    for path in Path(__file__).parent.rglob("*.py"):
        text = path.read_text()
        starts = len(re.findall(r"= subprocess\.Popen\(|return subprocess\.Popen\(", text))
        if starts > text.count("preexec_fn=heard_by_default"):
            deaf.append(path.name)
    assert not deaf
