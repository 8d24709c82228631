"""A folder of this process for sockets and small files, in a place whose path is short enough for sockets.

Who is killed cannot tidy up. So each process that has such a folder holds a lock beside it as long as it lives, and
whoever starts next removes folders whose lock nobody holds.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from multiprocessing import util
from pathlib import Path

from parity_exp.files.writing import remove_files

PREFIX, LOCK = "parity-exp-", ".lock"

LONGEST_PLACE = 50
"""How long a path may be so that sockets below it still have one of the 107 characters that systems allow."""

SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def place(longest: int = LONGEST_PLACE) -> Path:
    """Where temporary files go: the system's or the user's choice, or where that is too long for sockets another."""
    usual = Path(tempfile.gettempdir())
    if len(str(usual)) <= longest:
        return usual
    short = (Path(name) for name in SHORT_PLACES)
    return next((path for path in short if path.is_dir() and os.access(path, os.W_OK | os.X_OK)), usual)


@cache
def own() -> Path:
    """This process's folder; what other processes of the same user have left when they were killed is removed first.

    The sockets of :mod:`multiprocessing` go there as well, if it has none yet.
    """
    where = place()
    for lock in _left_behind(where):
        _remove(lock)
    lock = _locked_file(where)
    folder = lock.with_suffix("")
    folder.mkdir(mode=0o700)
    util.Finalize(None, _remove, (lock,), exitpriority=-200)  # after multiprocessing's own, at -100
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        util.get_temp_dir()  # which it makes once, and keeps
    finally:
        tempfile.tempdir = before
    return folder


def _locked_file(where: Path) -> Path:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, suffix=LOCK, dir=where)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until this process ends, and so the file stays open
        try:
            if Path(name).stat().st_ino == os.fstat(descriptor).st_ino:
                return Path(name)
        except FileNotFoundError:
            pass
        os.close(descriptor)  # another process took it for left behind before it was locked


def _left_behind(where: Path) -> Iterator[Path]:
    """Locks of this user that nobody holds; while one is looked at, this process holds it."""
    for lock in where.glob(f"{PREFIX}*{LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # gone by now, or another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.geteuid():
                yield lock
        except OSError:
            pass  # its process lives
        finally:
            os.close(descriptor)


def _remove(lock: Path) -> None:
    """Remove a lock and its folder: files in it, and files in folders in it."""
    folder = lock.with_suffix("")
    if folder.is_dir() and not folder.is_symlink():
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                remove_files(path, [entry.name for entry in path.iterdir()])
        remove_files(folder, [path.name for path in folder.iterdir() if not path.is_dir()])
    lock.unlink(missing_ok=True)
