"""Where the files of a torchvision data set are found, checked and, as a last resort, downloaded.

The order is: the configured root, then the system's folders, then a download into the root. Files in the system's
folders may lie flat and compressed, as Debian's packages install them; torchvision wants them unpacked in folders
of its own, so they are unpacked into a temporary folder that lives as long as reading takes.
"""

import gzip
import io
import math
import pickle
import shutil
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

from parity_exp.errors import DataError

DOWNLOAD_TIMEOUT_S = 20.0

SYSTEM_FOLDERS = ("/usr/share/datasets", "/usr/local/share/datasets")


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
            DataError: files are missing and can't be downloaded, or damaged.
        """
        with tempfile.TemporaryDirectory(prefix="parity-exp-data-") as temporary:
            folder = self._find() or self._download()
            staged = Path(temporary, self.folder)
            staged.mkdir(parents=True)
            for name in self.files:
                origin = _variant(folder, name)
                assert origin is not None
                try:
                    _stage(origin, staged / name)
                    self.check(staged / name)
                except DataError as error:
                    raise DataError(
                        f"dataset={self.name}: {origin} {error}; delete it and put a complete copy in its place"
                    ) from None
            yield temporary

    def _find(self) -> Path | None:
        places = [self.root, self.root / self.folder]
        places += [Path(system, self.system_folder) for system in SYSTEM_FOLDERS]
        places += [Path(system, self.system_folder, self.folder) for system in SYSTEM_FOLDERS]
        for place in places:
            if all(_variant(place, name) for name in self.files):
                return place
        return None

    def _download(self) -> Path:
        """Fetch the files into the root, whole or not at all, once for all processes that want them."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.name}.lock"):
                found = self._find()
                return found or self._fetch()
        except PermissionError as error:
            raise DataError(self._missing(f"and {error.filename} cannot be written")) from None
        except (FileExistsError, NotADirectoryError):
            raise DataError(self._missing(f"and {self.root} is not a folder")) from None

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
            raise DataError(self._missing(f"and the download failed ({reason})")) from None
        finally:
            socket.setdefaulttimeout(previous)

    def _missing(self, why: str) -> str:
        names = ", ".join(self.files)
        return (
            f"dataset={self.name}: no {names} (or the same with .gz) in {self.root}, {self.root / self.folder} or "
            f"the system's {' and '.join(SYSTEM_FOLDERS)}, {why}; put the files into one of these folders or set "
            "dataset.root to where they are"
        )


class IdxSource(Source):
    """MNIST's idx files: a magic number, the dimensions, then one byte a value."""

    files = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )

    def check(self, path: Path) -> None:
        with path.open("rb") as stream:
            header = stream.read(4)
            if len(header) < 4 or header[:3] != b"\x00\x00\x08" or header[3] not in (1, 3):
                raise DataError("is not an idx file of bytes")
            dimensions = header[3]
            sizes = stream.read(4 * dimensions)
        if len(sizes) < 4 * dimensions:
            raise DataError("is cut short in its header")
        wanted = 4 + 4 * dimensions + math.prod(struct.unpack(f">{dimensions}I", sizes))
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
        if not isinstance(data, np.ndarray) or data.shape != (len(labels or ()), 3 * 32 * 32):
            raise DataError("does not hold one row of 3,072 bytes and one label an image")


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
    """Make a file appear unpacked at ``target``."""
    if origin.suffix != ".gz":
        target.symlink_to(origin.resolve())
        return
    try:
        with gzip.open(origin) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"is cut short or damaged ({error})") from None


def _variant(folder: Path, name: str) -> Path | None:
    """The file in a folder, as it is or compressed."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None
