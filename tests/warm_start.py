"""Command lines in processes of their own that need not import torch and Lightning first.

They are forks of a process that has done so, once for all tests. Each leads a session of its own, so that all it starts
can be found, and be sent Ctrl-C.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.child_signals import heard_by_default

POLL_S = 0.01
IMPORTED_S = 240.0


class Job:
    """A started command line: what tests need of :class:`subprocess.Popen`.

    Args:
        record: the folder in which process id and exit status appear.
        shown: the file that standard output and standard error go to.
    """

    def __init__(self, record: Path, shown: Path) -> None:
        self._record = record
        self._shown = shown
        self.pid = self._number("pid", IMPORTED_S)

    def _number(self, name: str, timeout_s: float) -> int:
        deadline_s = time.monotonic() + timeout_s
        while not (self._record / name).exists():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no {name} after {timeout_s} s: {self._shown.read_text()}")
            time.sleep(POLL_S)
        return int((self._record / name).read_text())

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._number("status", 0) if (self._record / "status").exists() else None

    def wait(self, timeout: float) -> int:
        return self._number("status", timeout)

    def communicate(self, timeout: float) -> tuple[str, None]:
        self.wait(timeout)
        return self._shown.read_text(), None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def start(folder: Path, arguments: Sequence[str], terminal: str | None = None, **environment: str | None) -> Job:
    """Start ``parity-exp`` with some arguments.

    Args:
        folder: its current folder.
        arguments: those behind the program's name.
        terminal: what it reads from and writes to; without one it has nothing to read, and writes to ``shown``.
        environment: the job's, where it differs from the test's; None for what is not to be there.
    """
    number = len(list(folder.glob(".job-*")))
    record = folder / f".job-{number}"
    record.mkdir()
    shown = folder / "shown"
    shown.write_text("")
    variables = {**os.environ, **environment}
    request = {
        "folder": str(folder),
        "record": str(record),
        "shown": str(shown),
        "arguments": arguments,
        "terminal": terminal,
        "environment": {name: value for name, value in variables.items() if value is not None},
    }
    requests = _warm_process()
    requests.write(json.dumps(request) + "\n")
    requests.flush()
    return Job(record, shown)


@cache
def _warm_process() -> IO[str]:
    """Where requests go to; the process ends when this one does."""
    command = [sys.executable, "-u", "-c", f"from {__name__} import attend; attend()"]
    place = Path(__file__).parent.parent
    process = subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, text=True, preexec_fn=heard_by_default)
    assert process.stdin is not None
    return process.stdin


def attend() -> None:
    """In the warm process: start what is asked for. A job leaves by SystemExit, as a program of its own would."""
    # Not W&B: its temporary folders go when the first of the jobs ends.
    import parity_exp.commands.run  # noqa: F401

    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for pytest, which then ends this process
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leaves no zombies
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))


def _watch(request: dict[str, Any]) -> None:
    """Fork the job, and write down its exit status when it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    record, terminal = Path(request["record"]), request["terminal"]
    source = os.open(terminal or os.devnull, os.O_RDWR | os.O_NOCTTY)
    target = source if terminal else os.open(request["shown"], os.O_WRONLY | os.O_APPEND)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number, descriptor in enumerate((source, target, target)):
            os.dup2(descriptor, number)
        _run(request)
    os.close(source)  # the job alone has its terminal open, so that the terminal ends with it
    _write(record / "pid", pid)
    _, status = os.waitpid(pid, 0)
    _write(record / "status", os.waitstatus_to_exitcode(status))
    os._exit(0)


def _write(path: Path, value: int) -> None:
    part = path.with_suffix(".part")
    part.write_text(str(value))
    part.rename(path)


def _run(request: dict[str, Any]) -> None:
    from parity_exp.cli import main

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    heard_by_default()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(request["arguments"]))
