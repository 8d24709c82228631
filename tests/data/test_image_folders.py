"""Folders of images: layouts, sizes and colours, and what is wrong with files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from parity_exp.data import CatVDog, ImageFolder, Splits
from parity_exp.data.file_cache import Array
from parity_exp.data.file_dataset import Label, LabelledFile
from parity_exp.errors import DataError
from tests.data.files import write_image, write_image_folder

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def load(root: Path, kind: type[ImageFolder] = ImageFolder, **settings: object) -> Splits:
    return kind(name="images", root=str(root), **{"size": 28, "resize": 32, **settings}).load()  # type: ignore[arg-type]


def refusal(root: Path, kind: type[ImageFolder] = ImageFolder) -> str:
    with pytest.raises(DataError) as error:
        load(root, kind)
    line = str(error.value)
    assert line.startswith("images: ") and "\n" not in line
    return line


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_folders_are_splits_and_classes(tmp_path: Path, validation: str) -> None:
    write_image_folder(tmp_path, ("train", validation, "test"))
    splits = load(tmp_path, **IMAGENET)
    assert splits.task.class_names == ("a", "b") and splits.query_shape == (3, 28, 28)
    for samples in (splits.train, splits.validation, splits.test):
        assert samples.inputs.dtype == torch.uint8 and torch.bincount(samples.labels).tolist() == [5, 5]
        coloured = samples.inputs.float().std(dim=1).mean((1, 2)) > 50
        assert torch.bincount(samples.labels[coloured]).tolist() == [4, 4], "the grey ones have three equal channels"
        means = samples.inputs[coloured].float().mean((2, 3))
        assert ((means[:, 0] > means[:, 2]) == (samples.labels[coloured] == 0)).all(), "red is a, blue is b"
    expected = (splits.train.inputs / 255 - torch.tensor(IMAGENET["mean"])[:, None, None]) / torch.tensor(
        IMAGENET["std"]
    )[:, None, None]
    torch.testing.assert_close(splits.normalise(splits.train.inputs), expected)
    assert splits.train.inputs.dtype == torch.uint8


@pytest.mark.parametrize("below", ["images", "Images", "IMAGES"])
def test_the_folder_is_found_below_the_root_whatever_its_case(tmp_path: Path, below: str) -> None:
    write_image_folder(tmp_path / below)
    assert len(load(tmp_path).train) == 10


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, ("train", "val", "valid", "test"))
    assert "both there for validation" in refusal(tmp_path)


def test_without_validation_folders_a_tenth_is_held_out_by_seed(tmp_path: Path) -> None:
    write_image_folder(tmp_path, ("train", "test"), each=15)
    first, again, other = (load(tmp_path, split_seed=seed) for seed in (3, 3, 4))
    assert (len(first.train), len(first.validation), len(first.test)) == (27, 3, 30)
    assert torch.equal(first.validation.inputs, again.validation.inputs)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_images_are_resized_and_cut_as_torchvision_does(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for number, (width, height) in enumerate([(300, 500), (500, 300), (260, 260), (20, 300), (90, 61)]):
            path = tmp_path / split / "only" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()])
    found = {tuple(image.flatten().tolist()) for image in load(tmp_path, size=224, resize=256).test.inputs}
    wanted = [transform(Image.open(path)) for path in (tmp_path / "test" / "only").iterdir()]
    assert found == {tuple(image.flatten().tolist()) for image in wanted}


@pytest.mark.parametrize(
    ("name", "mode", "colour"),
    [
        ("x.png", "RGBA", (10, 200, 30, 128)),
        ("x.png", "P", 3),
        ("x.JPG", "CMYK", (0, 100, 0, 9)),
        ("x.bmp", "1", 1),
        ("y/z/x.webp", "RGB", (1, 2, 3)),
    ],
)
def test_any_kind_of_image_is_read(tmp_path: Path, name: str, mode: str, colour: object) -> None:
    write_image_folder(tmp_path)
    write_image(tmp_path / "train" / "a" / name, mode=mode, colour=colour)
    assert len(load(tmp_path).train) == 11


def test_a_limit_has_all_classes(tmp_path: Path) -> None:
    write_image_folder(tmp_path, ("train", "test"), each=40)
    splits = load(tmp_path, limit=20)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 2, 20)
    assert torch.bincount(splits.test.labels, minlength=2).min() >= 5


def test_kaggles_cats_and_dogs(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / "train" / f"cat.{number}.jpg", colour=(250, 0, 0))
        write_image(tmp_path / "train" / f"dog.{number}.jpg", colour=(0, 0, 250))
    write_image(tmp_path / "test1" / "1.jpg")
    check_cats_and_dogs(load(tmp_path, CatVDog), tests=8)
    assert torch.equal(
        load(tmp_path, CatVDog, split_seed=0).test.inputs, load(tmp_path, CatVDog, split_seed=1).test.inputs
    )


@pytest.mark.parametrize("root", ["", "PetImages"])
def test_microsofts_cats_and_dogs(tmp_path: Path, root: str) -> None:
    for number in range(20):
        write_image(tmp_path / "PetImages" / "Cat" / f"{number}.jpg", colour=(250, 0, 0))
        write_image(tmp_path / "PetImages" / "Dog" / f"{number}.jpg", colour=(0, 0, 250))
    # As the archive has them.
    (tmp_path / "PetImages" / "Cat" / "666.jpg").write_bytes(b"")
    (tmp_path / "PetImages" / "Dog" / "11702.jpg").write_bytes(b"")
    (tmp_path / "PetImages" / "Dog" / "Thumbs.db").write_bytes(b"1")
    check_cats_and_dogs(load(tmp_path / root, CatVDog), tests=8)
    (tmp_path / "PetImages" / "Cat" / "667.jpg").write_bytes(b"")
    assert "667.jpg" in refusal(tmp_path / root, CatVDog)


def test_cats_and_dogs_in_folders(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    assert load(tmp_path, CatVDog).task.class_names == ("a", "b")


def check_cats_and_dogs(splits: Splits, tests: int) -> None:
    assert splits.task.class_names == ("cat", "dog")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (29, 3, tests)
    assert torch.bincount(splits.test.labels).tolist() == [tests // 2, tests // 2]
    for samples in (splits.train, splits.validation, splits.test):
        assert ((samples.inputs[:, 0, 0, 0] > 100) == (samples.labels == 0)).all()


@pytest.mark.parametrize(("kind", "wanted"), [(ImageFolder, "train/<class>/"), (CatVDog, "PetImages")])
def test_what_is_nowhere_is_named_with_what_to_do(tmp_path: Path, kind: type[ImageFolder], wanted: str) -> None:
    write_image_folder(tmp_path, ("train",))
    line = refusal(tmp_path, kind)
    for part in (wanted, str(tmp_path), "set root", "get "):
        assert part in line


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:100], lambda _: b"", lambda _: b"<html>"])
def test_a_damaged_image_is_named(tmp_path: Path, damage: object) -> None:
    write_image_folder(tmp_path)
    path = tmp_path / "val" / "b" / "2.jpg"
    random = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    Image.fromarray(random).save(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    line = refusal(tmp_path)
    assert str(path) in line and "damaged" in line


def test_classes_that_do_not_agree_are_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    assert "test/c is a class without training images; expected a, b" in refusal(tmp_path)
    (tmp_path / "test" / "c").rename(tmp_path / "test" / "b")
    (tmp_path / "train" / "empty").mkdir()
    assert "train/empty holds no images" in refusal(tmp_path)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    (tmp_path / "train" / "a" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert "link.jpg is missing" in refusal(tmp_path)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="size=64"):
        ImageFolder(name="images", size=64, resize=32)


def test_pictures_of_16_bits_give_the_samples_that_8_bits_give(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(6):
            values = random.integers(0, 256, (40, 50), np.uint8)
            for depth, stored in (("eight", values), ("sixteen", values.astype(np.uint16) * 257)):
                path = tmp_path / depth / split / f"class_{number % 2}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(stored).save(path)
    eight, sixteen = load(tmp_path / "eight"), load(tmp_path / "sixteen")
    assert torch.equal(eight.train.inputs, sixteen.train.inputs) and torch.equal(eight.test.inputs, sixteen.test.inputs)


def test_a_data_set_whose_values_its_type_cannot_hold_is_refused(tmp_path: Path) -> None:
    class Floats(ImageFolder):
        def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
            values, label = super().read_file(file)
            return values / 255, label

    write_image_folder(tmp_path)
    assert "cannot be kept as uint8" in refusal(tmp_path, Floats)


def test_a_pointer_of_git_lfs_is_said_to_be_one(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    (tmp_path / "test" / "a" / "0.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    line = refusal(tmp_path)
    assert str(tmp_path / "test" / "a" / "0.jpg") in line and "git lfs pull" in line


def test_an_image_of_one_line_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    write_image(tmp_path / "train" / "a" / "line.png", width=1, height=5_000)
    assert "line.png has 1x5000 pixels, which is too narrow" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["x.gif", "x.jfif", "x.jpe", "x.pbm"])
def test_images_by_rarer_names_are_read(tmp_path: Path, name: str) -> None:
    write_image_folder(tmp_path)
    pattern = {"x.gif": "P", "x.pbm": "1"}
    image = Image.new(pattern.get(name, "RGB"), (50, 40))
    image.save(tmp_path / "train" / "a" / name, {"x.gif": "GIF", "x.pbm": "PPM"}.get(name, "JPEG"))
    assert len(load(tmp_path).train) == 11
