"""Where a data set is looked for: one rule for all of them.

In the root; in folders with one of the data set's names below it; in such folders below those (``MNIST/raw``); and then
in the same way below the system's folders. Names are compared without case and without what is no letter or digit, so
that ``fashion_mnist``, ``fashion-mnist`` and ``FashionMNIST`` are one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

SYSTEM_FOLDERS = ("/usr/share/datasets", "/usr/local/share/datasets")


def places(root: Path, names: Sequence[str], systems: Sequence[str]) -> list[Path]:
    """Folders that may be a data set's, in the order in which they are looked at.

    Args:
        root: where the user says that data are.
        names: what the data set's folder may be called, the likeliest first.
        systems: folders where the system keeps data sets.
    """
    found = [root]
    for base in (root, *map(Path, systems)):
        for place in _named(base, names):
            found += [place, *_named(place, names)]
    return list(dict.fromkeys(found))


def said(root: Path, names: Sequence[str], systems: Sequence[str]) -> str:
    """The rule in words, for a data set that is nowhere."""
    called = " or ".join(dict.fromkeys(names))
    return f"in {root}, in a folder {called} below it, or in such a folder of {' and '.join(systems) or 'the system'}"


def _named(base: Path, names: Sequence[str]) -> Iterator[Path]:
    """The folders in ``base`` with one of the names."""
    wanted = list(dict.fromkeys(_letters(name) for name in names))
    try:
        here = {path: _letters(path.name) for path in sorted(base.iterdir())}
    except OSError:
        return
    for name in wanted:
        yield from (path for path, letters in here.items() if letters == name and path.is_dir())


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
