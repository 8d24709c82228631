"""Cores, memory and places to write to."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from parity_exp.devices.cores import usable_cores
from parity_exp.doctor.findings import Finding, State

SHARED_MEMORY = Path("/dev/shm")

MEMORY = Path("/proc/meminfo")

MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")

LITTLE_SHARED_MEMORY = 2**28
"""Bytes below which processes that train or serve together may find no room."""

LITTLE_DISK = 2**30
"""Bytes below which a data set or a long run fills the disk."""


def machine() -> Iterator[Finding]:
    """What computes without an accelerator."""
    yield tried("cores", lambda: Finding("cores", f"{usable_cores()} of {os.cpu_count()} can be used"))
    yield tried("memory", lambda: Finding("memory", _memory()))
    yield tried("shared memory", _shared_memory)


def places(outputs: str, data: str) -> Iterator[Finding]:
    """Where files go.

    Args:
        outputs: the folder that run directories go below.
        data: the folder that data sets are looked for in first, and downloaded to.
    """
    elsewhere = "make it a folder that can be written to, or set {}=FOLDER to another place"
    yield tried("run directories", lambda: _place("run directories", outputs, elsewhere.format("outputs")))
    yield tried("data", lambda: _place("data", data, elsewhere.format("dataset.root")))
    yield tried("home", _home)


def temporary_files() -> Finding:
    """Where temporary files go; without a place for them nothing can be tried."""
    try:
        found = _place("temporary files", tempfile.gettempdir(), "set TMPDIR to another folder")
    except OSError as error:
        text = f"there is no folder that can be written to ({error.strerror or error})"
        return Finding("temporary files", text, State.BROKEN, "free some space, or set TMPDIR to a folder with room")
    return found if found.state is State.GOOD or "writable" not in found.text else _broken(found)


def tried(name: str, look: Callable[[], Finding]) -> Finding:
    """A finding, or that the system does not tell."""
    try:
        return look()
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        return Finding(name, f"the system does not tell ({error})", State.MISSING)


def _broken(found: Finding) -> Finding:
    return Finding(found.name, found.text, State.BROKEN, found.remedy)


def _memory() -> str:
    rows = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines() if ":" in line)
    total, free = (int(rows[name].split()[0]) * 2**10 for name in ("MemTotal", "MemAvailable"))
    limit = MEMORY_LIMIT.read_text().strip() if MEMORY_LIMIT.is_file() else "max"
    limited = f", of which this container may use {size(int(limit))}" if limit.isdigit() else ""
    return f"{size(free)} free of {size(total)}{limited}"


def _shared_memory() -> Finding:
    usage = shutil.disk_usage(SHARED_MEMORY)
    text = f"{size(usage.free)} free of {size(usage.total)} in {SHARED_MEMORY}"
    if usage.free < LITTLE_SHARED_MEMORY:
        remedy = "processes may find no room; in containers give --shm-size=1g, or train in one process"
        return Finding("shared memory", text, State.MISSING, remedy)
    return Finding("shared memory", text)


def _place(name: str, folder: str, remedy: str) -> Finding:
    path = absolute(folder)
    there = next((one for one in (path, *path.parents) if one.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    text = f"{size(free)} free in {path}"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Finding(name, f"{text}: not writable, no space is left", State.MISSING, f"free some space; {remedy}")
        return Finding(name, f"{text}: not writable ({error.strerror or error})", State.MISSING, remedy)
    if free < LITTLE_DISK:
        return Finding(name, f"{text}, which is little", State.MISSING, f"free some space; {remedy}")
    return Finding(name, text)


def _home() -> Finding:
    remedy = "set HOME to a folder that can be written to: W&B and Matplotlib keep settings there"
    try:
        home = Path.home()
    except RuntimeError:
        return Finding("home", "there is no home directory", State.MISSING, remedy)
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return Finding("home", f"{home} is no folder that can be written to", State.MISSING, remedy)
    return Finding("home", str(home))


def absolute(folder: str) -> Path:
    """A folder as a command finds it."""
    try:
        return Path(folder).expanduser().absolute()
    except (OSError, RuntimeError):  # the current folder was removed, or there is no home
        return Path("/", folder)


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
