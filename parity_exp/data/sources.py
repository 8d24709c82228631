"""Where the files of a torchvision data set are found, checked and, as a last resort, downloaded.

The order is that of :mod:`parity_exp.data.places`, then a download into the root. Files may lie flat and compressed, as
Debian's packages install them; torchvision wants them unpacked in folders of its own, so they are unpacked into a
temporary folder that lives as long as reading takes.
"""

import gzip
import io
import math
import pickle
import socket
import struct
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from filelock import FileLock
from torchvision.datasets import VisionDataset

from parity_exp.data.places import SYSTEM_FOLDERS, places, said
from parity_exp.errors import DataError, MissingDataError
from parity_exp.files.stand_ins import stand_in_at

DOWNLOAD_TIMEOUT_S = 20.0

LARGEST_FILE = 2**32
"""Bytes of an unpacked file, at most: twenty times what the largest data set here has."""

GZIP = b"\x1f\x8b"


class Source(ABC):
    """The files of one data set, in the official format.

    Args:
        name: name of the data set, for messages.
        loader: torchvision's class, which downloads and reads.
        root: folder to look in first and to download to.
        folder: where torchvision wants the files below its root.
        system_folder: the data set's folder name below the system's data folders.
    """

    def __init__(
        self, name: str, loader: type[VisionDataset], root: str | Path, folder: str, system_folder: str
    ) -> None:
        self.name = name
        self.loader = loader
        self.root = Path(root).expanduser()
        self.folder = folder
        self.system_folder = system_folder

    @property
    @abstractmethod
    def files(self) -> Sequence[str]:
        """Names of the wanted files."""

    @abstractmethod
    def check(self, path: Path) -> None:
        """Raise :class:`DataError` where an unpacked file is cut short, damaged or not what it should be."""

    @contextmanager
    def ready(self) -> Iterator[str]:
        """Yield a folder that torchvision's loader can read, with every file checked.

        Raises:
            MissingDataError: files are nowhere, and can't be downloaded.
            DataError: files are damaged.
        """
        with self._checked(self._find() or self._download()) as temporary:
            yield temporary

    def look(self) -> Path:
        """The folder of the files, with every file checked; nothing is downloaded.

        Raises:
            MissingDataError: they are nowhere.
            DataError: they are damaged.
        """
        found = self._find()
        if found is None:
            raise self._missing("and nothing was downloaded")
        with self._checked(found):
            return found

    @contextmanager
    def _checked(self, folder: Path) -> Iterator[str]:
        """A folder with the files unpacked in folders as torchvision wants them."""
        with tempfile.TemporaryDirectory(prefix="parity-exp-data-") as temporary:
            staged = Path(temporary, self.folder)
            staged.mkdir(parents=True)
            for name in self.files:
                origin = self._variant(folder, name)
                assert origin is not None
                try:
                    _stage(origin, staged / name)
                    self.check(staged / name)
                except DataError as error:
                    instead = stand_in_at(origin)
                    raise DataError(
                        f"{self.name}: {origin} {error}; "
                        f"{f'it {instead}' if instead else 'delete it and put a complete copy in its place'}"
                    ) from None
            yield temporary

    @property
    def names(self) -> list[str]:
        """What the data set's folder may be called."""
        return [self.name, self.system_folder, *Path(self.folder).parts]

    def also_called(self, name: str) -> Sequence[str]:
        """Names that a wanted file may have instead."""
        return ()

    def _places(self) -> list[Path]:
        return places(self.root, self.names, SYSTEM_FOLDERS)

    def _find(self) -> Path | None:
        return next((place for place in self._places() if not self._lacking(place)), None)

    def _lacking(self, place: Path) -> list[str]:
        return [name for name in self.files if not self._variant(place, name)]

    def _variant(self, folder: Path, name: str) -> Path | None:
        """The file in a folder, as it is or compressed."""
        for called in (name, *self.also_called(name)):
            for path in (folder / called, folder / f"{called}.gz", folder / called / called):
                if path.is_file():
                    return path
        return None

    def _download(self) -> Path:
        """Fetch the files into the root, whole or not at all, once for all processes that want them."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.name}.lock"):
                found = self._find()
                return found or self._fetch()
        except PermissionError as error:
            raise self._missing(f"and {error.filename} cannot be written") from None
        except (FileExistsError, NotADirectoryError):
            raise self._missing(f"and {self.root} is not a folder") from None

    def _fetch(self) -> Path:
        previous = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
        try:
            with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.root) as temporary:
                self.loader(temporary, download=True)
                target = self.root / self.folder
                target.parent.mkdir(parents=True, exist_ok=True)
                Path(temporary, self.folder).replace(target)
                return target
        except (URLError, TimeoutError, ConnectionError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self._missing(f"and the download failed ({reason})") from None
        finally:
            socket.setdefaulttimeout(previous)

    def _missing(self, why: str) -> MissingDataError:
        partly = next((place for place in self._places() if 0 < len(self._lacking(place)) < len(self.files)), None)
        lacking = f" ({partly} has all but {', '.join(self._lacking(partly))})" if partly else ""
        return MissingDataError(
            f"{self.name}: no {', '.join(self.files)} (or the same with .gz) "
            f"{said(self.root, self.names, SYSTEM_FOLDERS)}{lacking}, {why}; put the files into one of these folders "
            "or set {root} to where they are"
        )


class IdxSource(Source):
    """MNIST's idx files: a magic number, the dimensions, then one byte a value."""

    files = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )

    def also_called(self, name: str) -> Sequence[str]:
        """With a dot, as some mirrors and unpackers have it."""
        return (name.replace("-idx", ".idx"),)

    def check(self, path: Path) -> None:
        with path.open("rb") as stream:
            header = stream.read(4)
            if len(header) < 4 or header[:3] != b"\x00\x00\x08" or header[3] not in (1, 3):
                raise DataError("is not an idx file of bytes")
            dimensions = header[3]
            sizes = stream.read(4 * dimensions)
        if len(sizes) < 4 * dimensions:
            raise DataError("is cut short in its header")
        shape = struct.unpack(f">{dimensions}I", sizes)
        if 0 in shape:
            raise DataError(f"holds nothing: its dimensions are {' x '.join(map(str, shape))}")
        wanted = 4 + 4 * dimensions + math.prod(shape)
        if path.stat().st_size != wanted:
            raise DataError(f"is cut short or damaged: {path.stat().st_size:,} bytes instead of {wanted:,}")


class CifarSource(Source):
    """CIFAR's pickled batches. They are read once without executing anything that a pickle could carry."""

    def __init__(self, *, batches: Sequence[str], meta: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.batches = tuple(batches)
        self.meta = meta

    @property
    def files(self) -> Sequence[str]:
        return (*self.batches, self.meta)

    def check(self, path: Path) -> None:
        try:
            content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        except (pickle.UnpicklingError, EOFError, ValueError, IndexError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"is cut short or damaged ({error})") from None
        if not isinstance(content, dict):
            raise DataError("does not hold a dictionary")
        if path.name == self.meta:
            return
        labels = content.get("labels", content.get("fine_labels"))
        data = content.get("data")
        if (
            not isinstance(labels, list)
            or not isinstance(data, np.ndarray)
            or data.dtype != np.uint8
            or data.shape != (len(labels), 3 * 32 * 32)
        ):
            raise DataError("does not hold one row of 3,072 bytes and one label an image")
        if not all(type(label) is int for label in labels):
            raise DataError("holds labels that are no whole numbers")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and plain types, and refuses to import anything else."""

    ALLOWED = {
        (module, name)
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("ndarray", "dtype", "_reconstruct")
    } | {("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return super().find_class(module, name)


def _stage(origin: Path, target: Path) -> None:
    """Make a file appear unpacked at ``target``; its first bytes say whether it is packed, for its name may not."""
    with origin.open("rb") as stream:
        packed = stream.read(len(GZIP)) == GZIP
    if not packed:
        target.symlink_to(origin.resolve())
        return
    try:
        with gzip.open(origin) as content, target.open("wb") as unpacked:
            while block := content.read(2**20):
                unpacked.write(block)
                if unpacked.tell() > LARGEST_FILE:
                    raise DataError(f"has more than {LARGEST_FILE:,} bytes when unpacked")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"is cut short or damaged ({error})") from None
