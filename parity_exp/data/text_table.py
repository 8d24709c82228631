"""Texts in a table: a column with texts, one with their classes, and perhaps one that says the split."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from parity_exp.data.file_dataset import LabelledFile, Listing
from parity_exp.data.text_dataset import TextDataset, with_seeded_test_part
from parity_exp.data.text_files import plain_text
from parity_exp.errors import DataError, MissingDataError
from parity_exp.files.identity import hashed
from parity_exp.ranges import Text

PARQUET = (".parquet", ".pq")

SPLITS: Mapping[str, str] = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
    "valid": "validation", "validation": "validation", "dev": "validation",
}  # fmt: skip
"""What a row's split may be called."""


@dataclass(frozen=True)
class Row(LabelledFile):
    """A sample that is a row of a table; the first one has the number 0."""

    row: int = 0


class TextTable(TextDataset):
    """Texts of a table that pandas reads: CSV, TSV, both of them compressed, or Parquet.

    Without a column that says the split, a fifth of each class is drawn for testing, by ``split_seed``. Classes are
    what the column of labels holds in training rows, in the order of their names.

    Args:
        path: the table; relative to the current folder, or else to the root.
        text: the column with texts.
        label: the column with classes.
        split: the column with ``train``, ``test`` and perhaps ``validation``; None: it is drawn.
        separator: between columns; None: a tab in ``.tsv`` files, otherwise a comma.
        settings: those of :class:`TextDataset`.
    """

    wanted = ()
    origin = "a table with a column of texts and one of classes"

    def __init__(
        self,
        path: Text | None = None,
        text: Text = "text",
        label: Text = "label",
        split: Text | None = None,
        separator: Text | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.path = path
        self.text_column = text
        self.label_column = label
        self.split_column = split
        self.separator = separator

    @property
    def brought_by(self) -> str:  # type: ignore[override]
        """Where to get the data set."""
        return f"write {self.origin} (CSV, TSV or Parquet), and set dataset.path to it"

    @cached_property
    def table_path(self) -> Path:
        """The table.

        Raises:
            MissingDataError: none is given, or there is none.
        """
        if self.path is None:
            raise MissingDataError(f"{self.name}: {{path}} is not set; give it {self.origin} (CSV, TSV or Parquet)")
        given = Path(self.path).expanduser()
        for path in (given, super().place / given):
            if path.is_file():
                return path
        raise MissingDataError(f"{self.name}: {{path}}={self.path}: there is no such file; give {self.origin}")

    @property
    def place(self) -> Path:
        return self.table_path.parent

    @cached_property
    def folder(self) -> Path:
        return self.table_path.parent

    def list_files(self, folder: Path) -> Listing:
        table, path = self._table, self.table_path
        labels = [str(label) for label in table[self.label_column]]
        splits = self._splits(table)
        training = [label for label, split in zip(labels, splits, strict=True) if split in (None, "train")]
        names = _in_order(set(training))
        if len(names) < 2:
            raise self.error(f"{path}: {{label}}={self.label_column} has {len(names)} classes; expected two or more")
        unknown = sorted(set(labels) - set(names))
        if unknown:
            raise self.error(f"{path}: {unknown[0]} in {self.label_column} is a class without training texts")
        number = {name: place for place, name in enumerate(names)}
        rows = [Row(path, number[label], row) for row, label in enumerate(labels)]
        if self.split_column is None:
            return with_seeded_test_part(rows, names, self.split_seed)
        parts = {part: [row for row, split in zip(rows, splits, strict=True) if split == part] for part in SPLITS}
        return Listing(parts["train"], parts["validation"] or None, parts["test"], names)

    def text_of(self, file: LabelledFile) -> str:
        assert isinstance(file, Row)
        text = self._table[self.text_column].iat[file.row]
        try:
            return plain_text(text if isinstance(text, str) else "")
        except DataError as error:
            raise DataError(f"row {file.row + 1} {error}") from None

    def reading(self) -> dict[str, Any]:
        # Rows are told apart by what they say: the table's name and times are those of all of them.
        listing = self.listing
        splits = (listing.train, listing.validation or (), listing.test)
        drawn = [[row.row for row in rows if isinstance(row, Row)] for rows in splits]
        return {**super().reading(), "rows": hashed({"rows": drawn})}

    def _splits(self, table: pd.DataFrame) -> list[str | None]:
        """The split of each row; None where it is to be drawn."""
        if self.split_column is None:
            return [None] * len(table)
        found = []
        for row, split in enumerate(table[self.split_column]):
            if str(split).strip().lower() not in SPLITS:
                raise self.error(
                    f"{self.table_path}: row {row + 1} has {split} in {{split}}={self.split_column}; expected train, "
                    "test or validation"
                )
            found.append(SPLITS[str(split).strip().lower()])
        return list(found)

    @cached_property
    def _table(self) -> pd.DataFrame:
        path = self.table_path
        wanted = {"text": self.text_column, "label": self.label_column}
        if self.split_column is not None:
            wanted["split"] = self.split_column
        try:
            table = self._read(path)
        except Exception as error:  # pandas and its readers fail on damaged files in ways of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self.error(f"{path}: it cannot be read as a table ({reason}); mend it, or set {{encoding}}") from None
        for setting, column in wanted.items():
            if column not in table.columns:
                there = ", ".join(map(str, table.columns[:20]))
                raise self.error(f"{path}: it has no column {{{setting}}}={column}; it has {there}")
        empty = table[self.label_column].isna() | (table[self.label_column].astype(str).str.strip() == "")
        if empty.any():
            row = int(empty.to_numpy().argmax()) + 1
            raise self.error(f"{path}: row {row} has nothing in {{label}}={self.label_column}; fill it, or drop it")
        return table

    def _read(self, path: Path) -> pd.DataFrame:
        if path.suffix.lower() in PARQUET:
            return pd.read_parquet(path)
        tabs = ".tsv" in [suffix.lower() for suffix in path.suffixes]
        separator = self.separator or ("\t" if tabs else ",")
        tried = (self.encoding,) if self.encoding else ("utf-8-sig", "cp1252", "latin-1")
        for encoding in tried[:-1]:
            try:
                return pd.read_csv(path, sep=separator, encoding=encoding, dtype=str, keep_default_na=False)
            except UnicodeDecodeError:
                continue
        return pd.read_csv(path, sep=separator, encoding=tried[-1], dtype=str, keep_default_na=False)


def _in_order(names: set[str]) -> list[str]:
    """Numbers by their size, other names by their letters."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    return sorted(names)
