"""The code that a page of the documentation shows: its blocks, and the files whose names stand in their first lines."""

import re
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

NAME = re.compile(r"# (\S+\.(?:py|yaml))\n")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of code of a page."""
    return BLOCK.findall(page.read_text())


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows, below a folder."""
    for _, text in blocks(page):
        if name := NAME.match(text):
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
