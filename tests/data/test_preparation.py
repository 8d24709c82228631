"""What clients send becomes what samples are: the same file, read by the data set or sent by a client, is the same."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from parity_exp.data import (
    CIFAR10,
    MNIST,
    CUBLocalization,
    Dataset,
    DigitBoxes,
    Digits,
    ImageFolder,
    Preparation,
    SpeechCommands,
    TensorData,
    TextFolder,
    TextTable,
)
from parity_exp.errors import DataError
from tests.data.files import write_cifar10, write_cub, write_idx, write_image_folder, write_wav
from tests.data.texts import write_folder, write_table


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def prepared(dataset: Dataset, content: bytes) -> Tensor:
    """As networks see it, by a preparation that has been to another process."""
    splits = dataset.load()
    assert splits.from_clients is not None
    made = pickle.loads(pickle.dumps(splits.from_clients)).read(content)
    assert tuple(made.shape) == splits.query_shape and made.dtype == torch.float32
    return made


def samples(dataset: Dataset) -> Tensor:
    """All of a data set's samples, as networks see them."""
    splits = dataset.load()
    return splits.normalise(torch.cat([splits.train.inputs, splits.validation.inputs, splits.test.inputs]))


def test_the_picture_of_a_sample_is_the_sample(tmp_path: Path) -> None:
    grey, _ = write_idx(tmp_path / "mnist")["test"]
    mnist = MNIST(name="mnist", root=str(tmp_path / "mnist"), mean=[0.1], std=[0.3])
    torch.testing.assert_close(prepared(mnist, png(grey[3])), mnist.load().normalise(mnist.load().test.inputs)[3])
    coloured, _ = write_cifar10(tmp_path / "cifar-10-batches-py")["test"]
    cifar = CIFAR10(name="cifar10", root=str(tmp_path), mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])
    torch.testing.assert_close(prepared(cifar, png(coloured[0])), cifar.load().normalise(cifar.load().test.inputs)[0])


def test_pictures_of_another_size_or_colour_are_brought_to_the_data_sets() -> None:
    boxes = DigitBoxes(name="digit_boxes", size=28)
    values = np.random.default_rng(0).integers(0, 256, (56, 40, 3), dtype=np.uint8)
    assert prepared(boxes, png(values)).shape == (1, 28, 28)
    flat = np.full((90, 90, 4), 255, np.uint8)
    torch.testing.assert_close(prepared(boxes, png(flat)), torch.ones(1, 28, 28))


def test_digits_are_enlarged_as_samples_are() -> None:
    from sklearn.datasets import load_digits

    digits = Digits(name="digits")
    small = (load_digits().images[7] / 16 * 255).round().astype(np.uint8)
    nearest = (samples(digits) - prepared(digits, png(small))).abs().amax((1, 2, 3)).min()
    assert nearest <= 1 / 255


@pytest.mark.parametrize("kind", ["folder", "boxes"])
def test_files_that_are_sent_are_what_was_read_of_them(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        write_image_folder(tmp_path)
        dataset: Dataset = ImageFolder(name="images", root=str(tmp_path), size=28, resize=32, mean=[0.5], std=[0.2])
    else:
        write_cub(tmp_path)
        dataset = CUBLocalization(name="cub_localization", root=str(tmp_path), size=64)
    files = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".png"))
    every = samples(dataset)
    for file in files[:4]:
        assert (every - prepared(dataset, file.read_bytes())).abs().amax((1, 2, 3)).min() < 1e-6


def test_texts_become_the_ids_that_the_runs_tokenizer_gives(tmp_path: Path) -> None:
    table = TextTable(name="csv", path=str(write_table(tmp_path / "mails.csv")), max_length=12, vocabulary=300)
    folder = TextFolder(
        name="mails", root=str(write_folder(tmp_path / "mails")), max_length=12, vocabulary=300, padding="left"
    )
    for dataset in (table, folder):
        one = next((tmp_path / "mails").rglob("*.txt")).read_bytes()
        assert (samples(dataset) == prepared(dataset, one)).all(1).any()
        assert prepared(dataset, "prize, müde".encode()).isfinite().all()


def test_sound_becomes_the_spectrogram_of_the_data_set(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for word in ("no", "yes"):
            for seed in range(3):
                write_wav(tmp_path / split / word / f"{seed}.wav", seed=seed + len(split + word))
    dataset = SpeechCommands(name="speech_commands", root=str(tmp_path))
    sent = prepared(dataset, (tmp_path / "test" / "no" / "1.wav").read_bytes())
    assert (dataset.load().normalise(dataset.load().test.inputs) == sent).all((2, 3)).any()


def test_tensors_have_no_preparation() -> None:
    splits = TensorData(torch.rand(20, 1, 4, 4), torch.arange(20) % 2).load()
    assert splits.preparation is None and splits.from_clients is None


def huge() -> bytes:
    """A picture of a few thousand bytes that would take 300 MB."""
    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG")
    return stream.getvalue()


def postscript() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "EPS")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no image"),
        (b"\x89PNG\r\n\x1a\n", "is no image"),
        (png(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))[:800], "is no image"),
        (b"GIF89a", "is no image"),
        (postscript(), "is no image"),
        (huge(), "10000x10000 pixels; expected at most"),
    ],
    ids=["empty", "header", "cut", "gif", "postscript", "huge"],
)
def test_what_is_no_picture_is_refused_in_words(content: bytes, words: str) -> None:
    made = Digits(name="digits").preparation()
    assert isinstance(made, Preparation)
    with pytest.raises(DataError, match=words):
        made.read(content)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\xfa", b"\x00\x01\x02"])
def test_what_is_no_text_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    table = TextTable(name="csv", path=str(write_table(tmp_path / "mails.csv")), max_length=12, vocabulary=300)
    made = table.load().from_clients
    assert made is not None
    with pytest.raises(DataError, match=r"^(is|has) "):
        made.read(content)
