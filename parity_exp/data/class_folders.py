"""Splits as folders, and in each a folder a class: ``train/<class>/``, ``test/<class>/``, perhaps ``val/<class>/``."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from parity_exp.data.file_dataset import LabelledFile, Listing
from parity_exp.errors import DataError

TRAIN, TEST = "train", "test"

VALIDATION_FOLDERS = ("val", "valid", "validation", "dev")

HIDDEN = "."


def are_split(place: Path) -> bool:
    """Whether a folder holds splits with classes."""
    return all(class_folders(place / split) for split in (TRAIN, TEST))


def split_listing(folder: Path, suffixes: Collection[str], kind: str, hidden: str = HIDDEN) -> Listing:
    """The files of each split; classes are those of the training split, in the order of their names.

    Args:
        folder: holds the splits.
        suffixes: how the names of samples end, in small letters.
        kind: what samples are, for messages: ``images``.
        hidden: how names of folders begin that are no classes.

    Raises:
        DataError: a class without samples, or one that is not for training.
    """
    names = [path.name for path in class_folders(folder / TRAIN, hidden)]
    validation = [folder / name for name in VALIDATION_FOLDERS if (folder / name).is_dir()]
    if len(validation) > 1:
        raise DataError(f"{' and '.join(map(str, validation))} are both there for validation; remove one of them")
    train, own, test = (
        None if place is None else _labelled(class_folders(place, hidden), names, suffixes, kind)
        for place in (folder / TRAIN, validation[0] if validation else None, folder / TEST)
    )
    assert train is not None
    assert test is not None
    return Listing(train, own, test, names)


def _labelled(
    found: Sequence[Path], class_names: Sequence[str], suffixes: Collection[str], kind: str
) -> list[LabelledFile]:
    unknown = [path for path in found if path.name not in class_names]
    if unknown:
        raise DataError(f"{unknown[0]} is a class without training {kind}; expected {', '.join(class_names)}")
    files = [LabelledFile(path, class_names.index(f.name)) for f in found for path in files_below(f, suffixes)]
    present = {file.label for file in files}
    for path in found:
        if class_names.index(path.name) not in present:
            raise DataError(f"{path} holds no {kind} ({', '.join(sorted(suffixes))})")
    return files


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of the suffixes below a folder, at any depth; links are followed."""
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in suffixes and not name.startswith(".")
    )


def class_folders(folder: Path, hidden: str = HIDDEN) -> list[Path]:
    """Folders that are a class each; those whose names start with a letter of ``hidden`` are not."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in hidden)
