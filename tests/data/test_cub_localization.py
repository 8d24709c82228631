"""CUB-200-2011: boxes that belong to the resized images, and what is wrong with the text files."""

from pathlib import Path

import pytest
import torch

from parity_exp.data import CUBLocalization, Splits
from parity_exp.errors import DataError
from parity_exp.tasks import Localization
from tests.data.files import write_cub


def load(root: Path) -> Splits:
    return CUBLocalization(name="cub_localization", root=str(root), size=64).load()


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as error:
        load(root)
    line = str(error.value)
    assert line.startswith("dataset=cub_localization: ") and "\n" not in line
    return line


@pytest.mark.parametrize("below", ["", "CUB_200_2011"])
def test_the_archives_own_split_and_boxes(tmp_path: Path, below: str) -> None:
    write_cub(tmp_path / below)
    splits = load(tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (7, 1, 4)
    assert isinstance(splits.task, Localization) and splits.query_shape == (3, 64, 64)
    for samples in (splits.train, splits.validation, splits.test):
        assert samples.labels.shape == (len(samples), 4) and samples.labels.dtype == torch.float32
        for image, box in zip(samples.inputs, samples.labels, strict=True):
            # The bird is what is white in the image that networks see.
            rows, columns = (image.float().mean(0) > 127).nonzero(as_tuple=True)
            seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            left, top, width, height = (box + torch.tensor([1.0, 1.0, 0.0, 0.0])) * 32
            for found, expected in zip(seen, (left, top, left + width, top + height), strict=True):
                assert abs(float(found - expected)) <= 1.5


def test_a_box_is_scaled_to_its_image(tmp_path: Path) -> None:
    written = write_cub(tmp_path)
    x, y, w, h = written["002.Some_Bird/Some_Bird_0001.jpg"]
    expected = torch.tensor([2 * x / 120 - 1, 2 * y / 210 - 1, 2 * w / 120, 2 * h / 210])
    splits = load(tmp_path)
    boxes = torch.cat([splits.train.labels, splits.validation.labels])
    assert ((boxes - expected).abs() < 1e-6).all(1).sum() == 1


def test_what_is_nowhere_is_named_with_what_to_do(tmp_path: Path) -> None:
    write_cub(tmp_path)
    (tmp_path / "bounding_boxes.txt").unlink()
    line = refusal(tmp_path)
    for part in ("images.txt", "train_test_split.txt", "bounding_boxes.txt", str(tmp_path), "CUB_200_2011.tgz"):
        assert part in line


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("bounding_boxes.txt", "99 1.0 2.0 3.0 4.0", ["image 99", "images.txt does not have"]),
        ("train_test_split.txt", "99 1", ["image 99", "images.txt does not have"]),
        ("images.txt", "13 001.Some_Bird/new.jpg", ["train_test_split.txt says nothing of image 13", "new.jpg"]),
        ("bounding_boxes.txt", "12 1.0 2.0 3.0 4.0", ["bounding_boxes.txt, line 13", "image 12 is there twice"]),
        ("bounding_boxes.txt", "13 1.0 2.0 3.0", ["line 13", "cannot read '13 1.0 2.0 3.0'"]),
        ("bounding_boxes.txt", "13 1.0 2.0 0.0 4.0", ["txt, line 13", "cannot read"]),
        ("bounding_boxes.txt", "13 1.0 2.0 nan 4.0", ["txt, line 13", "cannot read"]),
        ("train_test_split.txt", "13 2", ["txt, line 13", "cannot read"]),
        ("images.txt", "x 001.Some_Bird/new.jpg", ["txt, line 13", "cannot read"]),
    ],
)
def test_text_files_that_contradict_each_other_are_named(
    tmp_path: Path, file: str, line: str, words: list[str]
) -> None:
    write_cub(tmp_path)
    with (tmp_path / file).open("a") as stream:
        stream.write(f"{line}\n")
    refused = refusal(tmp_path)
    assert all(word in refused for word in words)


def test_a_missing_and_a_damaged_image_are_named(tmp_path: Path) -> None:
    write_cub(tmp_path)
    path = tmp_path / "images" / "002.Some_Bird" / "Some_Bird_0004.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert str(path) in refusal(tmp_path)
    path.unlink()
    line = refusal(tmp_path)
    assert str(path) in line and "is missing" in line
