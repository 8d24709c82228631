"""Small data sets in the official files' formats."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np

IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

TRAIN, TEST = 20, 10
"""Samples in the sets that this file writes."""


def write_idx(folder: Path, packed: bool = False, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write MNIST's four files; return images ``(N, 28, 28)`` and labels by split."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    written = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in zip(IDX_NAMES[split], (images, labels), strict=True):
            content = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        written[split] = images, labels
    return written


def write_cifar10(folder: Path) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write CIFAR-10's seven files; return images ``(N, 32, 32, 3)`` and labels by split."""
    names = [f"class {label}" for label in range(10)]
    _write(folder / "batches.meta", {"label_names": names})
    batches = [_cifar_batch(folder / f"data_batch_{number}", "labels", TRAIN // 5, number) for number in range(1, 6)]
    images = np.concatenate([batch[0] for batch in batches])
    labels = [label for batch in batches for label in batch[1]]
    return {"train": (images, labels), "test": _cifar_batch(folder / "test_batch", "labels", TEST, 6)}


def write_cifar100(folder: Path) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write CIFAR-100's three files; return images ``(N, 32, 32, 3)`` and labels by split."""
    _write(folder / "meta", {"fine_label_names": [f"class {label}" for label in range(100)]})
    return {
        "train": _cifar_batch(folder / "train", "fine_labels", TRAIN, 1),
        "test": _cifar_batch(folder / "test", "fine_labels", TEST, 2),
    }


def _cifar_batch(path: Path, key: str, count: int, seed: int) -> tuple[np.ndarray, list[int]]:
    data = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = [(seed + place) % 10 for place in range(count)]
    _write(path, {"data": data, key: labels})
    return data.reshape(count, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _write(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The official files are pickles of protocol 2.
    path.write_bytes(pickle.dumps(content, protocol=2))
