"""Data sets with a file for each sample: found, listed, read once, and kept by :mod:`parity_exp.data.file_cache`.

To add one, subclass :class:`FileDataset`: say what its folder holds, list its files, and read one.
"""

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parity_exp.data.dataset import Dataset, Samples
from parity_exp.data.file_cache import Array, Layout, cached, kept_as
from parity_exp.data.places import SYSTEM_FOLDERS, places, said
from parity_exp.errors import DataError, MissingDataError
from parity_exp.files.identity import digest_of_files, sources_of
from parity_exp.files.stand_ins import stand_in_at
from parity_exp.files.texts import decoded
from parity_exp.files.whole_files import whole
from parity_exp.ranges import Text

CACHE = ".parity_exp_cache"
"""Folder below ``root`` where read samples are kept, unless ``cache`` says otherwise. May be deleted at any time."""

CACHE_VERSION = 3
"""Raised when what is read from a file changes in a way that no setting shows."""

CHANGES_NO_READING = {
    "augmentation", "cache", "folder", "limit", "listing", "mean", "name", "root", "split_seed", "std",
}  # fmt: skip
"""Attributes of a data set that change nothing of how a file is read."""

DEFAULT_ROOT = "data"

TEST_PART = 5
"""Of data sets without a split of their own, one sample in this many is for testing."""

Label = int | tuple[float, ...]


@dataclass(frozen=True)
class LabelledFile:
    """A sample's file, and its label: the number of a class, or what :meth:`FileDataset.read_file` makes one of."""

    path: Path
    label: Label


@dataclass(frozen=True)
class Listing:
    """The files of each split; ``validation`` is None where the data set has none of its own."""

    train: Sequence[LabelledFile]
    validation: Sequence[LabelledFile] | None
    test: Sequence[LabelledFile]
    class_names: Sequence[str] = ()


class FileDataset(Dataset):
    """Base class of data sets with a file for each sample.

    Samples are in an order that is drawn once and for all, so that the first ones are of all classes.

    Args:
        cache: folder to keep the read samples in; ``.parity_exp_cache`` below the root where it is None.
        settings: those of :class:`Dataset`.

    Attributes:
        wanted: what the data set's folder holds, by which it is known.
        folders: names that the folder may have below the root.
        origin: where to get the data set, for messages.
        dtype: what inputs are kept as, in NumPy's words.
        label_shape: shape of one label.
        label_dtype: what labels are kept as.
    """

    wanted: Sequence[str]
    folders: Sequence[str] = ()
    origin: str
    dtype: str
    label_shape: tuple[int, ...] = ()
    label_dtype = "int64"

    def __init__(self, cache: Text | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.cache = cache

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, ``(C, H, W)``."""

    @abstractmethod
    def list_files(self, folder: Path) -> Listing:
        """The files below the data set's folder.

        Raises:
            DataError: the folder is not as it should be.
        """

    @abstractmethod
    def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
        """Input ``(C, H, W)`` and label of a sample.

        Raises:
            DataError: the file is damaged; the message goes on after its name.
        """

    @abstractmethod
    def reading(self) -> dict[str, Any]:
        """The settings that :meth:`read_file` depends on."""

    @property
    def brought_by(self) -> str:  # type: ignore[override]
        """Where to get the data set."""
        return f"get {self.origin}, and set dataset.root or PARITY_EXP_DATA to the folder that it is in"

    def look(self) -> Path:
        found = self.folder
        if not self.list_files(found).train:
            raise self.error(f"{found} has no training samples; get a complete copy of {self.origin}")
        return found

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        files = self.listing
        return self._samples("training", files.train), self._samples("test", files.test), files.class_names

    def read_validation(self) -> Samples | None:
        validation = self.listing.validation
        return None if validation is None else self._samples("validation", validation)

    @cached_property
    def listing(self) -> Listing:
        """The files of each split, in order, with the held out ones in ``validation``, and within the limit."""
        found = self.list_files(self.folder)
        train, test = shuffled(found.train)[: self.limit], shuffled(found.test)[: self.limit]
        for name, files in (("training", train), ("test", test), ("validation", found.validation)):
            if files is not None and len(files) < (2 if files is train else 1):
                raise self.error(f"{self.folder} has {len(files)} {name} samples, which are too few")
        if found.validation is not None:
            return replace(found, train=train, validation=shuffled(found.validation)[: self.limit], test=test)
        # Held out here and not later, since files can be chosen without copying what has been read.
        held_out, rest = self.hold_out(len(train))
        return replace(found, train=[train[i] for i in rest], validation=[train[i] for i in held_out], test=test)

    @property
    def names(self) -> list[str]:
        """What the data set's folder may be called."""
        return [self.name, *(part for name in self.folders for part in Path(name).parts)]

    @property
    def place(self) -> Path:
        """The root as a path."""
        return Path(self.root or DEFAULT_ROOT).expanduser()

    @cached_property
    def folder(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: it is nowhere.
        """
        for place in places(self.place, self.names, SYSTEM_FOLDERS):
            if self.is_here(place):
                return place
        raise self.missing(" and ".join(self.wanted))

    def is_here(self, place: Path) -> bool:
        """Whether a folder is the data set's."""
        return all((place / name).exists() for name in self.wanted)

    def missing(self, wanted: str) -> MissingDataError:
        """The error of a data set that is nowhere."""
        return MissingDataError(
            f"{self.name}: no {wanted} {said(self.place, self.names, SYSTEM_FOLDERS)}; get {self.origin} and "
            "put it there, or set {root} to where it is"
        )

    def text(self, path: Path) -> str:
        """The content of a text file.

        Raises:
            DataError: it is damaged.
        """
        try:
            return str(whole(lambda: decoded(path.read_bytes()), "text"))
        except DataError as error:
            raise self.error(f"{path} {error}; put a complete copy in its place") from None

    def error(self, message: str) -> DataError:
        return DataError(f"{self.name}: {message}")

    def _samples(self, split: str, files: Sequence[LabelledFile]) -> Samples:
        layout = Layout(len(files), self.input_shape, self.dtype, self.label_shape, self.label_dtype)
        folder = Path(self.cache).expanduser() if self.cache else self.place / CACHE

        def read(place: int) -> tuple[Array, Array]:
            file = files[place]
            try:
                values, label = self.read_file(file)
            except DataError as error:
                instead = stand_in_at(file.path)
                raise self.error(
                    f"{file.path} {error}; {f'it {instead}' if instead else 'put a complete copy in its place'}"
                ) from None
            try:
                return kept_as(values, self.dtype), kept_as(np.asarray(label), self.label_dtype)
            except ValueError as error:
                raise self.error(f"{file.path}: {error}") from None

        key = self._key(layout, files)
        try:
            return cached(folder / f"{self.name}-{split}-{key}", layout, read, f"{self.name}, {split} samples")
        except OSError as error:
            raise self.error(
                f"cannot keep what was read in {folder} ({error.strerror or error}); set {{cache}} to a folder "
                "with room that can be written"
            ) from None

    def _other_settings(self) -> list[tuple[str, str]]:
        """Plain settings beside those that only choose among samples, or change them once they are read."""
        return sorted(
            (name, repr(value))
            for name, value in vars(self).items()
            if name not in CHANGES_NO_READING and isinstance(value, bool | int | float | str | tuple | list | None)
        )

    def _key(self, layout: Layout, files: Sequence[LabelledFile]) -> str:
        """Hash of all that the samples depend on: class and settings, and the files' names, sizes and times of change.

        The time of a file's last change of any kind counts as well, for copying can preserve the time of its content.
        """
        folder = f"{self.folder}{os.sep}"
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        source = digest_of_files(sources_of(kind))
        of_class = (CACHE_VERSION, kind, source, layout, sorted(self.reading().items()), self._other_settings())
        digest = blake2b(repr(of_class).encode(), digest_size=8)
        for file in files:
            try:
                status = os.stat(file.path)  # noqa: PTH116 - there may be 100,000 of them, and this is faster
            except FileNotFoundError:
                raise self.error(f"{file.path} is missing; get a complete copy of {self.origin}") from None
            name = str(file.path).removeprefix(folder)
            times = status.st_mtime_ns, status.st_ctime_ns
            digest.update(repr((name, status.st_size, times, file.label)).encode())
        return digest.hexdigest()


def shuffled(files: Sequence[LabelledFile]) -> list[LabelledFile]:
    """Files in an order that depends on nothing but which they are: sorted, then drawn with a fixed seed."""
    ordered = sorted(files, key=lambda file: str(file.path))
    return [ordered[i] for i in torch.randperm(len(ordered), generator=torch.Generator().manual_seed(0))]


def with_test_part(files: Sequence[LabelledFile], class_names: Sequence[str]) -> Listing:
    """Set a part of each class aside for testing, always the same one."""
    train: list[LabelledFile] = []
    test: list[LabelledFile] = []
    for label in range(len(class_names)):
        own = shuffled([file for file in files if file.label == label])
        count = len(own) // TEST_PART
        test += own[:count]
        train += own[count:]
    return Listing(train, None, test, class_names)
