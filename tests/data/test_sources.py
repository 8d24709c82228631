"""Every loader reads the official formats, from wherever the files are, and says what is wrong with them."""

import gzip
import hashlib
import os
import pickle
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from parity_exp.data import CIFAR10, CIFAR100, MNIST, FashionMNIST, sources
from parity_exp.data.dataset import Dataset
from parity_exp.data.sources import IdxSource
from parity_exp.errors import DataError
from tests.data.files import IDX_NAMES, TEST, TRAIN, write_cifar10, write_cifar100, write_idx

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

Write = Callable[[Path], dict[str, tuple[np.ndarray, Any]]]


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and no data sets of the system's."""

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", (str(tmp_path / "system"),))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "below"),
    [(MNIST, ""), (MNIST, "MNIST/raw"), (FashionMNIST, ""), (FashionMNIST, "FashionMNIST/raw")],
)
def test_idx_files_in_the_root(tmp_path: Path, kind: type[Dataset], below: str, packed: bool) -> None:
    written = write_idx(tmp_path / below, packed)
    train, test, names = kind(name="set", root=str(tmp_path)).read()
    for samples, split in ((train, "train"), (test, "test")):
        images, labels = written[split]
        assert samples.inputs.dtype == torch.float32 and samples.inputs.shape == (len(labels), 1, 28, 28)
        np.testing.assert_allclose(samples.inputs[:, 0].numpy(), images / 255, atol=1e-7)
        assert samples.labels.tolist() == labels.tolist()
    assert len(names) == 10
    assert names[0] == ("T-shirt/top" if kind is FashionMNIST else "0 - zero")


@pytest.mark.parametrize(
    "called",
    [
        "{}.gz",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: name.replace("-idx", ".idx") + ".gz",
        lambda name: f"{name}/{name}",
        lambda name: f"{name.replace('-idx', '.idx')}/{name.replace('-idx', '.idx')}",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_by_any_name_packed_or_not_whatever_the_name_says(
    tmp_path: Path, called: str | Callable[[str], str], packed: bool
) -> None:
    written = write_idx(tmp_path / "first", packed)
    for path in (tmp_path / "first").iterdir():
        name = path.name.removesuffix(".gz")
        target = tmp_path / "root" / (called.format(name) if isinstance(called, str) else called(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    train, test, _ = MNIST(name="mnist", root=str(tmp_path / "root")).read()
    assert train.labels.tolist() == written["train"][1].tolist()
    np.testing.assert_allclose(test.inputs[:, 0].numpy(), written["test"][0] / 255, atol=1e-7)


@pytest.mark.parametrize("base", ["root", "system"])
@pytest.mark.parametrize(
    "below",
    ["fashion-mnist", "fashion_mnist", "FashionMNIST", "Fashion-MNIST", "FashionMNIST/raw", "fashion-mnist/raw"],
)
def test_a_folder_is_found_below_the_root_as_below_the_systems(tmp_path: Path, base: str, below: str) -> None:
    written = write_idx(tmp_path / base / below, packed=True)
    train, _, _ = FashionMNIST(name="fashion_mnist", root=str(tmp_path / "root")).read()
    assert train.labels.tolist() == written["train"][1].tolist()


@pytest.mark.parametrize("below", ["cifar10", "CIFAR-10", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
@pytest.mark.parametrize("base", ["root", "system"])
def test_so_are_cifars(tmp_path: Path, base: str, below: str) -> None:
    write_cifar10(tmp_path / base / below)
    assert len(CIFAR10(name="cifar10", root=str(tmp_path / "root")).read()[0]) == TRAIN


def test_what_an_incomplete_folder_lacks_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path / "root" / "mnist")
    (tmp_path / "root" / "mnist" / IDX_NAMES["test"][1]).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path / 'root' / 'mnist'} has all but {IDX_NAMES['test'][1]}"):
        MNIST(name="mnist", root=str(tmp_path / "root")).read()


def write_labels(path: Path, labels: list[int]) -> None:
    path.write_bytes(b"\x00\x00\x08\x01" + len(labels).to_bytes(4, "big") + bytes(labels))


@pytest.mark.parametrize("name", [IDX_NAMES["train"][1], IDX_NAMES["test"][1]])
def test_labels_that_no_class_has_are_refused(tmp_path: Path, name: str) -> None:
    write_idx(tmp_path)
    labels = [number % 26 + 1 for number in range(TRAIN if "train" in name else TEST)]
    write_labels(tmp_path / name, labels)
    with pytest.raises(DataError) as error:
        MNIST(name="mnist", root=str(tmp_path)).load()
    line = str(error.value)
    split = "training" if "train" in name else "test"
    assert f"mnist: {split} labels run from 1 to {max(labels)}; expected 0 to 9" in line and "\n" not in line


def test_images_of_another_size_in_one_split_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path)
    header = b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (TEST, 20, 20))
    (tmp_path / IDX_NAMES["test"][0]).write_bytes(header + bytes(TEST * 400))
    with pytest.raises(
        DataError, match=r"test samples have the shape \(1, 20, 20\) and training samples \(1, 28, 28\)"
    ):
        MNIST(name="mnist", root=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("shape", "words"),
    [((0, 28, 28), "holds nothing"), ((10, 0, 28), "holds nothing"), ((2**32 - 1,) * 3, "cut short or damaged")],
)
def test_sizes_that_no_file_has_are_refused(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    write_idx(tmp_path)
    path = tmp_path / IDX_NAMES["train"][0]
    path.write_bytes(b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in shape))
    with pytest.raises(DataError, match=words):
        MNIST(name="mnist", root=str(tmp_path)).read()


def test_a_packed_file_that_grows_without_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)
    monkeypatch.setattr(sources, "LARGEST_FILE", 100_000)
    (tmp_path / IDX_NAMES["train"][0]).write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(DataError, match="more than 100,000 bytes"):
        MNIST(name="mnist", root=str(tmp_path)).read()


@pytest.mark.parametrize(
    ("kind", "write", "folder", "classes"),
    [
        (CIFAR10, write_cifar10, "cifar-10-batches-py", 10),
        (CIFAR100, write_cifar100, "cifar-100-python", 100),
        (CIFAR10, write_cifar10, "", 10),
        (CIFAR100, write_cifar100, "", 100),
    ],
)
def test_cifar_files_in_the_root(tmp_path: Path, kind: type[Dataset], write: Write, folder: str, classes: int) -> None:
    written = write(tmp_path / folder)
    train, test, names = kind(name="set", root=str(tmp_path)).read()
    assert (len(train), len(test), len(names)) == (TRAIN, TEST, classes)
    for samples, split in ((train, "train"), (test, "test")):
        images, labels = written[split]
        np.testing.assert_allclose(samples.inputs.permute(0, 2, 3, 1).numpy(), images / 255, atol=1e-7)
        assert samples.labels.tolist() == list(labels)
    assert names[7] == "class 7"


def test_the_root_comes_before_the_systems_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "system" / "mnist", packed=True, seed=1)
    data = MNIST(name="mnist", root=str(tmp_path / "root"))
    from_system = data.read()[0].inputs
    in_root = write_idx(tmp_path / "root", seed=2)["train"][0]
    assert not torch.equal(data.read()[0].inputs, from_system)
    np.testing.assert_allclose(data.read()[0].inputs[:, 0].numpy(), in_root / 255, atol=1e-7)


def test_an_incomplete_root_is_passed_over(tmp_path: Path) -> None:
    written = write_idx(tmp_path / "system" / "mnist", seed=1)["train"][0]
    write_idx(tmp_path / "root", seed=2)
    (tmp_path / "root" / IDX_NAMES["test"][1]).unlink()
    inputs = MNIST(name="mnist", root=str(tmp_path / "root")).read()[0].inputs
    np.testing.assert_allclose(inputs[:, 0].numpy(), written / 255, atol=1e-7)


def test_reading_leaves_the_folders_as_they_were(tmp_path: Path) -> None:
    write_idx(tmp_path / "root", packed=True)
    before = sorted(tmp_path.rglob("*"))
    MNIST(name="mnist", root=str(tmp_path / "root")).read()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[datasets.MNIST]]:
    """torchvision's loader, made to download the files of a server on this machine; they lie in ``mirror``."""
    monkeypatch.undo()
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "mirror"
    write_idx(folder, packed=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()

    class Mirrored(datasets.MNIST):
        mirrors = [f"http://127.0.0.1:{server.server_port}/"]  # noqa: RUF012 - as torchvision has it
        resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())]  # noqa: RUF012

    yield Mirrored
    server.shutdown()
    server.server_close()


def test_what_is_nowhere_is_downloaded_once(tmp_path: Path, mirror: type[datasets.MNIST]) -> None:
    source = IdxSource("mnist", mirror, tmp_path / "root", "Mirrored/raw", "mnist")
    with source.ready() as folder:
        assert len(mirror(folder, train=True)) == TRAIN
    assert (tmp_path / "root" / "Mirrored" / "raw" / "train-images-idx3-ubyte").is_file()
    for path in (tmp_path / "mirror").iterdir():
        path.unlink()
    with source.ready() as folder:
        assert len(mirror(folder, train=False)) == TEST


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"another file")])
def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, mirror: type[datasets.MNIST], damage: Callable[[Path], object]
) -> None:
    damage(tmp_path / "mirror" / "train-labels-idx1-ubyte.gz")
    source = IdxSource("mnist", mirror, tmp_path / "root", "Mirrored/raw", "mnist")
    with pytest.raises(DataError, match="the download failed"), source.ready():
        pass
    assert [path.name for path in (tmp_path / "root").iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        (MNIST, "mnist", "train-images-idx3-ubyte"),
        (FashionMNIST, "fashion_mnist", "t10k-labels-idx1-ubyte"),
        (CIFAR10, "cifar10", "data_batch_5"),
        (CIFAR100, "cifar100", "meta"),
    ],
)
def test_without_a_network_the_wanted_files_and_places_are_named(
    tmp_path: Path, kind: type[Dataset], name: str, wanted: str
) -> None:
    root = tmp_path / "root"
    with pytest.raises(DataError) as error:
        kind(name=name, root=str(root)).read()
    line = str(error.value)
    for part in (f"{name}: ", wanted, str(root), str(tmp_path / "system"), "no network", "set root"):
        assert part in line
    assert "\n" not in line


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(DataError, match="is not a folder"):
        MNIST(name="mnist", root=str(tmp_path / "root")).read()


@pytest.mark.parametrize("name", [name for names in IDX_NAMES.values() for name in names])
@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_file_cut_short_is_named(tmp_path: Path, name: str, packed: bool) -> None:
    write_idx(tmp_path, packed)
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{path.name}.*(cut short|damaged)"):
        MNIST(name="mnist", root=str(tmp_path)).read()


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08\x03\x00", b"<html>not found</html>", b"\x00\x00\x0d\x03" + bytes(12)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_idx_file_is_named(tmp_path: Path, content: bytes, packed: bool) -> None:
    write_idx(tmp_path, packed)
    path = tmp_path / ("train-labels-idx1-ubyte.gz" if packed else "train-labels-idx1-ubyte")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=path.name):
        MNIST(name="mnist", root=str(tmp_path)).read()


def test_a_pointer_of_git_lfs_is_said_to_be_one(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / IDX_NAMES["train"][0]).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(DataError, match="git lfs pull"):
        MNIST(name="mnist", root=str(tmp_path)).read()


def test_a_packed_file_damaged_inside_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path, packed=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[500:600] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        MNIST(name="mnist", root=str(tmp_path)).read()


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"junk"])
@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_a_damaged_cifar_file_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    write_cifar10(tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(DataError, match=name):
        CIFAR10(name="cifar10", root=str(tmp_path)).read()


@pytest.mark.parametrize("labels", [[1, 10], [-1, 3]])
def test_cifar_labels_that_no_class_has_are_refused(tmp_path: Path, labels: list[int]) -> None:
    write_cifar10(tmp_path)
    content = {"data": np.zeros((2, 3072), np.uint8), "labels": labels}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=rf"test labels run from {labels[0]} to {labels[1]}; expected 0 to 9"):
        CIFAR10(name="cifar10", root=str(tmp_path)).load()


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint8)},
        {"data": np.zeros((2, 3071), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint16), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1.5]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, "cat"]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": 2},
    ],
)
def test_a_cifar_file_of_another_content_is_named(tmp_path: Path, content: object) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match="test_batch"):
        CIFAR10(name="cifar10", root=str(tmp_path)).read()


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch marker",)


def test_code_in_a_cifar_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar100(tmp_path)
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": _Runs()}, protocol=2))
    with pytest.raises(DataError, match="wants to run"):
        CIFAR100(name="cifar100", root=str(tmp_path)).read()
    assert not Path("marker").exists()


@pytest.mark.skipif(not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", (str(DEBIAN_FASHION_MNIST.parent),))
    splits = FashionMNIST(name="fashion_mnist", root=str(tmp_path)).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (55_000, 5_000, 10_000)
    assert torch.bincount(splits.test.labels).tolist() == [1_000] * 10
    assert splits.query_shape == (1, 28, 28) and splits.task.class_names[9] == "Ankle boot"
