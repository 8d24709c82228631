"""Small data sets in the official files' formats."""

import gzip
import pickle
import struct
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

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


def write_wav(path: Path, samples: int = 16_000, rate_hz: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Write 16-bit sound, a tone in noise; return it in [-1, 1], ``(samples, channels)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    tone = np.sin(np.arange(samples) * (0.1 + 0.01 * seed)) * 8_000
    sound = (tone[:, None] + random.normal(0, 500, (samples, channels))).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(channels)
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes(sound.tobytes())
    return sound / 32_768


def write_speech_commands(folder: Path, words: Sequence[str] = ("bed", "cat", "yes")) -> dict[str, list[str]]:
    """Write the archive's folder: by word five recordings, one for validation and one for testing; return the lists."""
    splits: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for place, word in enumerate(words):
        for number in range(5):
            name = f"{word}/{number:08x}_nohash_0.wav"
            # Unequal lengths: some shorter and some longer than a second.
            write_wav(folder / name, 16_000 - 3_000 * (number - 2), seed=10 * place + number)
            splits[("train", "train", "train", "validation", "test")[number]].append(name)
    write_wav(folder / "_background_noise_" / "doing_the_dishes.wav", 50_000)
    (folder / "_background_noise_" / "README.md").write_text("Noise.")
    (folder / "README.md").write_text("Words.")
    (folder / "validation_list.txt").write_text("".join(f"{name}\n" for name in splits["validation"]))
    (folder / "testing_list.txt").write_text("".join(f"{name}\n" for name in splits["test"]))
    return splits


def write_image(
    path: Path, width: int = 60, height: int = 40, colour: object = (200, 30, 90), mode: str = "RGB"
) -> None:
    """Write an image of one colour, in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), colour).save(path)  # type: ignore[arg-type]


def write_image_folder(folder: Path, splits: Sequence[str] = ("train", "val", "test"), each: int = 5) -> None:
    """Write images of different sizes in two classes: red ones in ``a``, blue ones in ``b``, and one grey one each."""
    for split in splits:
        for name, colour in (("a", (250, 0, 0)), ("b", (0, 0, 250))):
            for number in range(each - 1):
                write_image(folder / split / name / f"{number}.jpg", 50 + 9 * number, 40 + 25 * number, colour)
            write_image(folder / split / name / "grey.jpeg", colour=128, mode="L")
        (folder / split / "a" / "Thumbs.db").write_bytes(b"no image")


def write_cub(folder: Path, count: int = 12) -> dict[str, tuple[float, ...]]:
    """Write CUB-200-2011's files: a white bird on black in each image; return boxes (x, y, w, h) in pixels by name.

    Of every three images the last is for testing.
    """
    boxes: dict[str, tuple[float, ...]] = {}
    lines: dict[str, list[str]] = {name: [] for name in ("images", "train_test_split", "bounding_boxes")}
    for number in range(1, count + 1):
        name = f"{number % 3 + 1:03d}.Some_Bird/Some_Bird_{number:04d}.jpg"
        size = number % 13
        width, height = 100 + 20 * size, 220 - 10 * size
        x, y, w, h = 10.0 + size, 8.0, 60.0 + 3 * size, 40.0 + size
        picture = np.zeros((height, width, 3), np.uint8)
        picture[int(y) : int(y + h), int(x) : int(x + w)] = 255
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, quality=95)
        boxes[name] = (x, y, w, h)
        lines["images"].append(f"{number} {name}")
        lines["train_test_split"].append(f"{number} {int(number % 3 != 0)}")
        lines["bounding_boxes"].append(f"{number} {x:.1f} {y:.1f} {w:.1f} {h:.1f}")
    for file, content in lines.items():
        (folder / f"{file}.txt").write_text("\n".join(content) + "\n")
    return boxes
