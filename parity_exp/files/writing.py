"""Write files so that a reader never sees half of one, whatever happens while writing.

Everything goes to a temporary name in the same folder, to the disk, and only then to its real name. A kill, a
full disk or a lost connection leaves the previous content in place.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replace the content of ``path`` in one step.

    Raises:
        OSError: the folder is missing, read-only or full; the old content is untouched.
    """
    path = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        error.filename = str(path)
        raise
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        # The message that reaches the user names the file they know, not the temporary one.
        error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, content: str) -> None:
    """Replace the text of ``path`` (UTF-8) in one step."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``content`` as indented JSON in one step."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files by their names, and their folder if it is empty then; whatever else it holds stays."""
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
