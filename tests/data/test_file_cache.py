"""What is read from many files is read once, by one of several jobs, and never used half."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from parity_exp.data import BaseDataModule, CropAndFlip, GroupDataModule, ImageFolder, Samples, Splits
from parity_exp.data.file_cache import Array, Layout, cached, kept_as
from parity_exp.data.file_dataset import CACHE, LabelledFile
from parity_exp.errors import DataError
from parity_exp.models import predict
from parity_exp.tasks import Classification
from tests.data.files import write_image, write_image_folder

LAYOUT = Layout(10, (1, 2, 3), "float16", (), "int64")


def numbered(place: int) -> tuple[Array, Array]:
    return np.full((1, 2, 3), place), np.asarray(place * 10)


def never(_: int) -> tuple[Array, Array]:
    raise AssertionError("read again")


def check(samples: Samples) -> None:
    assert samples.inputs[:, 0, 1, 2].tolist() == list(range(10)) and samples.inputs.dtype == torch.float16
    assert samples.labels.tolist() == list(range(0, 100, 10)) and samples.labels.dtype == torch.int64


def test_samples_are_read_once(tmp_path: Path) -> None:
    first = cached(tmp_path / "deep" / "set", LAYOUT, numbered, "numbers")
    again = cached(tmp_path / "deep" / "set", LAYOUT, never, "numbers")
    check(first)
    check(again)
    assert first.digest == again.digest
    again.inputs[0] = 7
    check(cached(tmp_path / "deep" / "set", LAYOUT, never, "numbers"))


def test_the_digest_tells_samples_apart(tmp_path: Path) -> None:
    def other_input(place: int) -> tuple[Array, Array]:
        return numbered(place)[0] + (place == 9), numbered(place)[1]

    def other_label(place: int) -> tuple[Array, Array]:
        return numbered(place)[0], numbered(place)[1] + (place == 0)

    digests = [
        cached(tmp_path / str(n), LAYOUT, read, "").digest
        for n, read in enumerate((numbered, other_input, other_label))
    ]
    assert len(set(digests)) == 3 and cached(tmp_path / "same", LAYOUT, numbered, "").digest == digests[0]


def test_a_cache_under_anothers_name_is_made_anew(tmp_path: Path) -> None:
    cached(tmp_path / "set-of-others", LAYOUT, lambda place: (numbered(place)[0] * 0, np.asarray(0)), "zeros")
    (tmp_path / "set-of-others").rename(tmp_path / "set")
    check(cached(tmp_path / "set", LAYOUT, numbered, "numbers"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("file", ["inputs.npy", "labels.npy", "samples.json"])
@pytest.mark.parametrize(
    "damage", [cut, Path.unlink, lambda path: path.write_bytes(b"junk"), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, file: str, damage: Callable[[Path], object]) -> None:
    cached(tmp_path / "set", LAYOUT, numbered, "numbers")
    damage(tmp_path / "set" / file)
    check(cached(tmp_path / "set", LAYOUT, numbered, "numbers"))
    check(cached(tmp_path / "set", LAYOUT, never, "numbers"))


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fails(place: int) -> tuple[Array, Array]:
        if place == 3:
            raise DataError("is damaged")
        return numbered(place)

    with pytest.raises(DataError):
        cached(tmp_path / "set", LAYOUT, fails, "numbers")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    (tmp_path / ".set.part").mkdir()
    (tmp_path / ".set.part" / "inputs.npy").write_bytes(b"left by a kill")
    check(cached(tmp_path / "set", LAYOUT, numbered, "numbers"))


def test_a_read_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        cached(tmp_path / "set", LAYOUT, lambda _: (np.zeros((1, 3, 2)), np.asarray(0)), "numbers")


def test_of_jobs_at_the_same_time_one_reads(tmp_path: Path) -> None:
    reads: list[int] = []

    def slow(place: int) -> tuple[Array, Array]:
        reads.append(place)
        started.wait(10)
        return numbered(place)

    # The lock does not care whether it is wanted by processes or by threads.
    started = threading.Event()
    with ThreadPoolExecutor(3) as jobs:
        results = [jobs.submit(cached, tmp_path / "set", LAYOUT, slow, "numbers") for _ in range(3)]
        started.set()
        for result in results:
            check(result.result())
    assert sorted(reads) == list(range(10))


# ---- of whole data sets


class Counting(ImageFolder):
    read_files = 0

    def read_file(self, file: LabelledFile) -> tuple[Array, int | tuple[float, ...]]:
        type(self).read_files += 1
        return super().read_file(file)


def files_read(root: Path, **settings: object) -> int:
    Counting.read_files = 0
    Counting(name="images", root=str(root), **{"size": 28, "resize": 32, **settings}).load()  # type: ignore[arg-type]
    return Counting.read_files


def test_files_are_read_again_only_when_something_has_changed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_image_folder(root)
    assert files_read(root) == 30
    assert files_read(root) == 0
    assert files_read(root, split_seed=1, augmentation=CropAndFlip()) == 0
    assert files_read(root, size=20) == 30
    assert files_read(root, cache=str(tmp_path / "elsewhere")) == 30
    write_image(root / "val" / "a" / "new.jpg")
    assert files_read(root) == 11, "the other splits are as they were"
    status = (root / "test" / "a" / "0.jpg").stat()
    os.utime(root / "test" / "a" / "0.jpg", (status.st_atime, status.st_mtime + 10))
    assert files_read(root) == 10
    os.utime(root / "test" / "a" / "0.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files_read(root) == 10, "it may be another file with the time of the first one"
    root.rename(tmp_path / "moved")
    assert files_read(tmp_path / "moved") == 0


class Inverted(Counting):
    """Says nothing of a setting that its reading depends on."""

    def __init__(self, inverted: bool = False, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.inverted = inverted

    def read_file(self, file: LabelledFile) -> tuple[Array, int | tuple[float, ...]]:
        values, label = super().read_file(file)
        return (255 - values if self.inverted else values), label


def test_a_setting_that_a_class_does_not_speak_of_counts_all_the_same(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    plain, inverted, parent = (
        kind(name="images", root=str(tmp_path), size=28, resize=32, **more).load().test.inputs.float().mean()
        for kind, more in ((Inverted, {}), (Inverted, {"inverted": True}), (Counting, {}))
    )
    assert plain == parent != inverted
    assert len(list((tmp_path / CACHE).glob("images-test-*"))) == 3, "each class has its own"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    (tmp_path / CACHE).write_text("a file")
    with pytest.raises(DataError, match=r"set cache to") as error:
        files_read(tmp_path)
    assert str(tmp_path / CACHE) in str(error.value) and "\n" not in str(error.value)


def splits_of(dtype: torch.dtype, augmentation: CropAndFlip | None = None) -> Splits:
    """The same images as bytes or as numbers."""

    def samples(count: int, seed: int) -> Samples:
        random = torch.Generator().manual_seed(seed)
        inputs = torch.randint(0, 256, (count, 3, 6, 6), generator=random, dtype=torch.uint8)
        return Samples(inputs if dtype == torch.uint8 else inputs / 255, torch.arange(count) % 3)

    task, mean, std = Classification("abc"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    return Splits(samples(40, 0), samples(11, 1), samples(12, 2), task, mean, std, augmentation)


@pytest.mark.parametrize("augmentation", [None, CropAndFlip(1)])
def test_bytes_train_like_the_numbers_they_stand_for(augmentation: CropAndFlip | None) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 3))
    batches: dict[torch.dtype, list[torch.Tensor]] = {}
    for dtype in (torch.uint8, torch.float32):
        splits = splits_of(dtype, augmentation)
        predictions = [
            predict(network, samples.inputs, torch.device("cpu"), prepare=splits.normalise)
            for samples in (splits.train, splits.validation, splits.test)
        ]
        base = BaseDataModule(splits, 8, seed=0)
        groups = GroupDataModule(splits, 2, lambda images: images.mean(1), predictions[0], predictions[1], 4, seed=0)
        for module in (base, groups):
            module.setup("fit")
        batches[dtype] = predictions + [
            tensor
            for module in (base, groups)
            for loader in (*module.train_dataloader(), module.val_dataloader())
            for batch in loader
            for tensor in batch
        ]
    assert all(tensor.dtype == torch.float32 for tensor in batches[torch.uint8] if tensor.is_floating_point())
    for compact, plain in zip(batches[torch.uint8], batches[torch.float32], strict=True):
        torch.testing.assert_close(compact, plain)


def test_large_inputs_are_predicted_a_few_at_a_time() -> None:
    seen: list[int] = []

    class Network(torch.nn.Module):
        def forward(self, queries: torch.Tensor) -> torch.Tensor:
            seen.append(len(queries))
            return queries.mean((1, 2, 3), keepdim=True).flatten(1)

    images = torch.zeros(1, 3, 224, 224, dtype=torch.uint8).expand(250, -1, -1, -1)
    assert predict(Network(), images, torch.device("cpu"), prepare=torch.Tensor.float).shape == (250, 1)
    assert max(seen) < 150 and sum(seen) == 250


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.0, 0.5, 1.0], "uint8"),
        ([0, 256], "uint8"),
        ([-1, 3], "uint8"),
        ([0.0, 70_000.0], "float16"),
        ([float("nan")], "float16"),
        ([1.5], "int64"),
        ([1e300], "float32"),
    ],
)
def test_values_that_their_type_cannot_hold_are_refused(values: list[float], dtype: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be kept as {dtype}"):
        kept_as(np.asarray(values), dtype)


@pytest.mark.parametrize(("values", "dtype"), [([0.0, 255.0], "uint8"), ([0.1, -6.3], "float16"), ([3.0], "int64")])
def test_values_that_their_type_can_hold_are_kept(values: list[float], dtype: str) -> None:
    np.testing.assert_allclose(kept_as(np.asarray(values), dtype), values, rtol=1e-3)
