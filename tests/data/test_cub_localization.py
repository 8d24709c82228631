"""CUB-200-2011: boxes that belong to the resized images, and what is wrong with the text files."""

from collections.abc import Callable
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
    assert line.startswith("cub_localization: ") and "\n" not in line
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


@pytest.mark.parametrize(
    "written",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: text.replace(" 00", " ./00").encode(),
        lambda text: text.replace("/", "\\").encode(),
        lambda text: text.replace(" 00", " .\\00").replace("/", "\\").replace(" ", "\t").encode(),
    ],
)
def test_text_files_are_read_as_any_system_writes_them(tmp_path: Path, written: Callable[[str], bytes]) -> None:
    write_cub(tmp_path)
    expected = load(tmp_path)
    for name in ("images.txt", "train_test_split.txt", "bounding_boxes.txt"):
        (tmp_path / name).write_bytes(written((tmp_path / name).read_text()))
    found = load(tmp_path)
    assert torch.equal(found.train.inputs, expected.train.inputs) and torch.equal(
        found.test.labels, expected.test.labels
    )


def change_box(folder: Path, number: int, box: str) -> None:
    lines = (folder / "bounding_boxes.txt").read_text().splitlines()
    lines[number - 1] = f"{number} {box}"
    (folder / "bounding_boxes.txt").write_text("\n".join(lines))


@pytest.mark.parametrize(
    "box", ["500 8 60 40", "-300 8 60 40", "10 900 60 40", "10 8 1200 400", "100 8 200 40", "119.9 8 50 50"]
)
def test_a_box_outside_its_image_is_refused(tmp_path: Path, box: str) -> None:
    write_cub(tmp_path)
    change_box(tmp_path, 1, box)  # of an image of 120x210 pixels
    line = refusal(tmp_path)
    assert "Some_Bird_0001.jpg has 120x210 pixels" in line and "lies outside" in line


@pytest.mark.parametrize(
    ("box", "seen"),
    [("-3 8 63 40", (0, 8, 60, 40)), ("70 8 60.5 40", (70, 8, 50, 40)), ("0 0 121 211", (0, 0, 120, 210))],
)
def test_a_box_that_hangs_over_is_cut_at_the_edge(tmp_path: Path, box: str, seen: tuple[float, ...]) -> None:
    write_cub(tmp_path)
    change_box(tmp_path, 1, box)
    x, y, w, h = seen
    expected = torch.tensor([2 * x / 120 - 1, 2 * y / 210 - 1, 2 * w / 120, 2 * h / 210])
    splits = load(tmp_path)
    boxes = torch.cat([splits.train.labels, splits.validation.labels])
    assert ((boxes - expected).abs() < 1e-6).all(1).sum() == 1


@pytest.mark.parametrize("box", ["1e300 8 60 40", "10 8 1e9 40", "inf 8 60 40", "10 8 -60 40", "10,5 8 60 40", "10 8"])
def test_numbers_that_no_image_has_are_refused(tmp_path: Path, box: str) -> None:
    write_cub(tmp_path)
    change_box(tmp_path, 3, box)
    assert "bounding_boxes.txt, line 3: cannot read" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", "."])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    write_cub(tmp_path)
    with (tmp_path / "images.txt").open("a") as stream:
        stream.write(f"13 {name}\n")
    assert "images.txt, line 13: cannot read" in refusal(tmp_path)
