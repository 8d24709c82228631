"""Texts in folders: a folder a class, each text in a file of its own."""

from collections.abc import Sequence
from pathlib import Path

from parity_exp.data.class_folders import are_split, class_folders, files_below, split_listing
from parity_exp.data.file_dataset import LabelledFile, Listing
from parity_exp.data.text_dataset import TextDataset, with_seeded_test_part
from parity_exp.data.text_files import read_text
from parity_exp.errors import DataError, MissingDataError

SUFFIXES = {".txt", ".text", ".md", ".eml", ".msg", ".htm", ".html", ".xml", ".json", ".log", ".tex", ""}

SPLITS = ("train", "test", "val", "valid", "validation", "dev")
"""Folders that are splits and no classes."""


class TextFolder(TextDataset):
    """Texts in ``train/<class>/``, ``test/<class>/`` and perhaps ``val/<class>/``; or in ``<class>/`` alone.

    Of folders that have no split, a fifth of each class is drawn for testing, by ``split_seed``. Files are texts by
    their names: ``.txt``, ``.eml``, ``.html`` and the like, or without an ending.
    """

    wanted: Sequence[str] = ("train/<class>/", "test/<class>/")
    origin = "your texts (train/<class>/*.txt and test/<class>/*.txt, or <class>/*.txt)"

    def is_here(self, place: Path) -> bool:
        return are_split(place) or bool(self._classes(place))

    def missing(self, wanted: str) -> MissingDataError:
        return super().missing(f"{wanted}, nor two folders with texts,")

    def list_files(self, folder: Path) -> Listing:
        if are_split(folder):
            try:
                return split_listing(folder, SUFFIXES, "texts")
            except DataError as error:
                raise self.error(str(error)) from None
        classes = self._classes(folder)
        files = [LabelledFile(path, label) for label, place in enumerate(classes) for path in _texts(place)]
        return with_seeded_test_part(files, [place.name for place in classes], self.split_seed)

    def text_of(self, file: LabelledFile) -> str:
        return read_text(file.path, self.encoding)

    @staticmethod
    def _classes(place: Path) -> list[Path]:
        """Folders with texts right in them, of which there have to be two."""
        found = [path for path in class_folders(place) if path.name not in SPLITS and _texts(path)]
        return found if len(found) > 1 else []


def _texts(folder: Path) -> list[Path]:
    return files_below(folder, SUFFIXES)
