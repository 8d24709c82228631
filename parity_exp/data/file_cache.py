"""Samples that are read from many files once, and kept as arrays that later jobs map into memory.

A cached set is a folder: ``inputs.npy``, ``labels.npy`` and ``samples.json``. Rules:

* A folder has its final name only when it is complete. Whoever finds one that is not what it says makes it anew.
* Of several jobs that want the same set one makes it, and the others wait.
* Inputs are never in memory as a whole: they are written sample by sample, and read by mapping the file, so that jobs
  on one machine share what the system has read.
"""

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from parity_exp.data.dataset import Samples
from parity_exp.files.writing import remove_files
from parity_exp.process.progress import bar

log = logging.getLogger(__name__)

READERS = 16
"""Threads that read files at the same time, at most; reading leaves Python's lock alone most of the time."""

Array = np.ndarray[Any, Any]

Read = Callable[[int], tuple[Array, Array]]
"""Gives input and label of the sample at a place."""


@dataclass(frozen=True)
class Layout:
    """What the arrays of a cached set look like.

    Attributes:
        count: samples.
        shape: shape of one input.
        dtype: of the inputs, in NumPy's words.
        label_shape: shape of one label.
        label_dtype: of the labels.
    """

    count: int
    shape: tuple[int, ...]
    dtype: str
    label_shape: tuple[int, ...]
    label_dtype: str


FILES = ("inputs.npy", "labels.npy", "samples.json")
"""Everything that is in a cached set's folder."""


def cached(folder: Path, layout: Layout, read: Read, what: str) -> Samples:
    """The samples in a folder; where it does not exist or is damaged, it is made.

    Args:
        folder: named after everything that determines the samples.
        layout: what the arrays look like.
        read: reads one sample; called by several threads.
        what: is being read, for progress bar and log.

    Raises:
        OSError: the folder cannot be written.
    """
    found = _open(folder, layout)
    if found is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another job reads the files of %s; waiting for it", what)
        lock.acquire()
    try:
        found = _open(folder, layout)
        if found is None:
            _make(folder, layout, read, what)
            found = _open(folder, layout)
    finally:
        lock.release()
    if found is None:
        raise OSError(f"{folder} does not hold what was written to it")
    return found


def _open(folder: Path, layout: Layout) -> Samples | None:
    """Map a cached set into memory; None where there is none, or not a whole one."""
    try:
        stored = json.loads((folder / "samples.json").read_text())
        digest = stored["digest"]
        # Copy on write: nothing that happens to the tensors reaches the file.
        inputs = np.load(folder / "inputs.npy", mmap_mode="c")
        labels = np.load(folder / "labels.npy")
    except Exception:
        # NumPy and json fail on damaged files in whatever way their bytes lead them to.
        return None
    fits = (
        isinstance(digest, str)
        and stored.get("folder") == folder.name  # it says by its name what the samples depend on
        and (inputs.shape, inputs.dtype.name) == ((layout.count, *layout.shape), layout.dtype)
        and (labels.shape, labels.dtype.name) == ((layout.count, *layout.label_shape), layout.label_dtype)
    )
    return Samples(torch.from_numpy(inputs), torch.from_numpy(labels), digest) if fits else None


def _make(folder: Path, layout: Layout, read: Read, what: str) -> None:
    # The lock is ours, so whatever has this name was left by a job that was killed.
    part = folder.with_name(f".{folder.name}.part")
    remove_files(part, FILES)
    if folder.exists():
        log.warning("%s is damaged and is made anew", folder)
        remove_files(folder, FILES)
    part.mkdir()
    try:
        digest = _write(part, layout, read, what)
        (part / "samples.json").write_text(
            json.dumps({"digest": digest, "folder": folder.name, "samples": layout.count, "of": what})
        )
        part.rename(folder)
    finally:
        remove_files(part, FILES)


def _write(part: Path, layout: Layout, read: Read, what: str) -> str:
    """Write both arrays; return a hash of their content."""
    labels = np.empty((layout.count, *layout.label_shape), layout.label_dtype)
    digests = np.empty((layout.count, 32), np.uint8)
    with (part / "inputs.npy").open("wb") as stream:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(layout.dtype)),
            "fortran_order": False,
            "shape": (layout.count, *layout.shape),
        }
        np.lib.format.write_array_header_1_0(stream, header)
        stream.flush()
        start = stream.tell()

        def one(place: int) -> None:
            values, labels[place] = read(place)
            content = kept_as(values, layout.dtype)
            if content.shape != layout.shape:
                raise ValueError(f"sample {place} of {what} has the shape {content.shape}, not {layout.shape}")
            digests[place] = np.frombuffer(blake2b(content.data, digest_size=32).digest(), np.uint8)
            _write_at(stream.fileno(), content.tobytes(), start + place * content.nbytes)

        _for_each(layout.count, one, what)
        os.fsync(stream.fileno())
    np.save(part / "labels.npy", labels)
    return blake2b(digests.tobytes() + labels.tobytes(), digest_size=16).hexdigest()


def kept_as(values: Array, dtype: str) -> Array:
    """Values in the type that they are kept as; floats may lose digits, and nothing else may be lost.

    Raises:
        ValueError: the type cannot hold them: floats as bytes, numbers beyond its range, or no numbers.
    """
    with np.errstate(all="ignore"):
        content = np.asarray(values, dtype, order="C")
        same = np.isfinite(content) if content.dtype.kind == "f" else content == values
    if not np.all(same):
        raise ValueError(
            f"values from {np.min(values):.6g} to {np.max(values):.6g} ({values.dtype}) cannot be kept as {dtype}"
        )
    return content


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def _for_each(count: int, do: Callable[[int], None], what: str) -> None:
    """Call a function with 0 to ``count - 1`` on several threads; the first error ends it."""
    pool = ThreadPoolExecutor(min(READERS, os.cpu_count() or 1))
    try:
        futures = [pool.submit(do, place) for place in range(count)]
        with bar(what, count, "file", leave=False, delay=1) as shown:
            for future in as_completed(futures):
                future.result()
                shown.update()
    finally:
        pool.shutdown(cancel_futures=True)
