"""Processes that are asked something which may crash or hang."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import parity_exp
from parity_exp.doctor.findings import one_line

OF_A_GROUP = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "SUBMITIT_EXECUTOR"}
"""Variables by which processes that were started together know each other."""


@dataclass(frozen=True)
class Said:
    """What became of a process.

    Attributes:
        output: what it has written to its standard output.
        problem: why it did not end as it should, in a line; empty where it did.
    """

    output: str
    problem: str


class Children:
    """Starts processes, from several threads if need be, and lets none outlive the block."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for process in list(self._running):
            _kill(process)

    def ask(self, arguments: Sequence[str], folder: Path, longest_s: float) -> Said:
        """Run Python with arguments in a folder, with the user's own modules where the user's process has them.

        Args:
            arguments: behind the interpreter.
            folder: the current folder there.
            longest_s: what takes longer is killed, with all that it has started.
        """
        if self._ended:
            return Said("", "nothing more is started")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running.add(process)
        try:
            output, complaints = process.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            output, complaints = process.communicate()
            return Said(output, f"no answer within {longest_s:.0f} s{_last(complaints, ' (', ')')}")
        finally:
            if process.poll() is None:
                _kill(process)
            self._running.discard(process)
        if process.returncode < 0:
            return Said(output, f"killed by signal {-process.returncode}{_last(complaints, ' (', ')')}")
        if process.returncode:
            return Said(output, _last(complaints) or f"exit status {process.returncode}")
        return Said(output, "")


def _environment() -> dict[str, str]:
    """This process's, with the same modules to be found, and alone where this one was started with others."""
    package = str(Path(parity_exp.__file__).parent.parent)
    there = [package, str(here()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    kept = {name: value for name, value in os.environ.items() if name not in OF_A_GROUP}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, there)), "MPLBACKEND": "agg"}


def here() -> Path:
    """The current folder, where there still is one."""
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path("/")


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process and those that it has started; it leads a session of its own."""
    try:
        os.killpg(process.pid, 9)
    except OSError:
        process.kill()


def _last(text: str, before: str = "", after: str = "") -> str:
    """The last line in which something is said; nothing where nothing is."""
    lines = [one_line(line) for line in text.splitlines() if line.strip()]
    return f"{before}{lines[-1]}{after}" if lines else ""
