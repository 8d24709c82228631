"""Finding run directories below folders."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from parity_exp.errors import UserError
from parity_exp.recordings import names
from parity_exp.recordings.run_directory import RunDirectory

TRACKERS = "wandb"  # a folder of other people's, with config files of its own
COMMAND = re.compile(r"hydra\.job\.name=(\w+)")
"""How Hydra's own overrides name the command."""

REPORT = "report"


def find_run_directories(patterns: Sequence[str]) -> list[Path]:
    """Run directories, also those that are hardly begun, but for those of reports, in the natural order of their paths.

    A run directory has no other ones inside. Folders that can be reached in several ways are found once.
    """
    seen: set[tuple[int, int]] = set()
    found = [run for root in _roots(patterns) for run in _run_directories(root, seen)]
    return sorted(found, key=natural_order)


def natural_order(path: Path | str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _roots(patterns: Sequence[str]) -> list[Path]:
    """Folders that patterns name, outer ones first."""
    roots: set[Path] = set()
    for pattern in patterns:
        # Whatever is below will be searched anyway, so there is no need to list it.
        start = re.sub(r"(^|/)\*\*$", "", str(Path(pattern).expanduser())) or "."
        for name in glob.glob(_literal_as_far_as_it_is_there(start), recursive=True):  # noqa: PTH207 (pathlib's takes no absolute pattern)
            path = Path(name)
            roots.add(path if path.is_dir() else path.parent)
    return sorted(roots, key=lambda root: len(root.parts))


def _literal_as_far_as_it_is_there(pattern: str) -> str:
    """A pattern whose first folders are taken by name where they exist: a folder may be called ``a[1]``."""
    there, parts = Path(), Path(pattern).parts
    for count, part in enumerate(parts):
        if not (there / part).exists():
            return str(Path(glob.escape(str(there)), *parts[count:]))
        there /= part
    return glob.escape(str(there))


def _run_directories(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    inside = {entry.name for entry in entries}
    if _is_run_directory(folder, inside):
        yield folder
    elif names.HYDRA not in inside:
        for entry in entries:
            if entry.name[0] != "." and entry.name != TRACKERS and entry.is_dir():
                yield from _run_directories(folder / entry.name, seen)


def _is_run_directory(folder: Path, inside: set[str]) -> bool:
    if names.CONFIG in inside:
        return any(mark in inside for mark in names.MARKS) or not _is_other_config(folder)
    return names.HYDRA in inside and _hydra_command(folder) != REPORT


def _is_other_config(folder: Path) -> bool:
    """Whether a config.yaml that stands alone belongs to something else, such as the defaults of a Hydra program."""
    try:
        return "defaults" in RunDirectory(folder).read_config()
    except UserError as error:
        return "not the config of a run" in str(error)
    except OSError:
        return False


def _hydra_command(folder: Path) -> str | None:
    """The command of ours that Hydra has begun in a folder."""
    try:
        given = COMMAND.findall((folder / names.HYDRA / names.HYDRA_RECORD).read_text(errors="replace"))
    except OSError:
        return None
    return given[-1] if given else REPORT  # no command: a program of somebody else, which no more concerns us
