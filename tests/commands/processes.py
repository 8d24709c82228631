"""Finds the processes of a job from outside, as an operator with a terminal would."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def session(pid: int) -> list[int]:
    """All processes of the session that a process leads, whoever their parents are by now; zombies are left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def processor_s(pids: Iterable[int]) -> float:
    """Processor time that processes have taken so far, those that have ended left out."""
    ticks = sum(int(ticks) for pid in pids for ticks in _stat(pid)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def instances(pid: int) -> dict[str, int]:
    """The model instances of a job, by the names that ``ps`` shows."""
    named = {_name(other): other for other in session(pid)}
    return {name: other for name, other in named.items() if name.startswith("instance-")}


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(reached: Callable[[], object], timeout_s: float = 200) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
