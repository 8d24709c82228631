"""Images in folders: a folder a class, or boxes in text files, all brought to one size and kept as bytes.

A cached byte is a quarter of a float32: 25,000 images of 3x224x224 take 3.8 GB of disk, and of memory no more than what
the system has to spare.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as images

from parity_exp.data.class_folders import are_split, files_below, split_listing
from parity_exp.data.file_cache import Array
from parity_exp.data.file_dataset import FileDataset, Label, LabelledFile, Listing, with_test_part
from parity_exp.data.from_clients import picture_sent
from parity_exp.data.pictures import read_image
from parity_exp.data.preparation import Preparation
from parity_exp.errors import DataError
from parity_exp.ranges import Side

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".ppm", ".pgm", ".pbm", ".bmp", ".gif", ".tif", ".tiff", ".webp",
}  # fmt: skip

MOST_NARROW = 200
"""Times that an image may be longer than it is wide: brought to one width, it becomes longer still."""


class ImageFolder(FileDataset):
    """Images in ``train/<class>/``, ``test/<class>/`` and perhaps ``val/<class>/``, as colour images of one size.

    An image's shorter side is resized to ``resize`` pixels, then the ``size`` x ``size`` pixels in its middle are kept,
    as is usual in evaluation on ImageNet. Training images are kept in the same way: base predictions are taken of them,
    and augmentation changes them.

    Args:
        size: side of the images, in pixels.
        resize: length of the shorter side before the middle is cut out.
        settings: those of :class:`FileDataset`.
    """

    wanted: Sequence[str] = ("train/<class>/", "test/<class>/")
    origin = "your images (train/<class>/*.jpg, test/<class>/*.jpg, and val/<class>/*.jpg if you have them)"
    dtype = "uint8"

    def __init__(self, size: Side = 224, resize: Side = 256, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 < size <= resize:
            raise ValueError(f"size={size} must lie between 1 and resize={resize}")
        self.size = size
        self.resize = resize

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    def reading(self) -> dict[str, Any]:
        return {"size": self.size, "resize": self.resize}

    def is_here(self, place: Path) -> bool:
        return are_split(place)

    def list_files(self, folder: Path) -> Listing:
        try:
            return split_listing(folder, SUFFIXES, "images")
        except DataError as error:
            raise self.error(str(error)) from None

    def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
        return self._prepared(read_image(file.path)), file.label

    def preparation(self) -> Preparation | None:
        return Preparation("image", self._from_client)

    def _from_client(self, content: bytes) -> Tensor:
        return torch.from_numpy(self._prepared(picture_sent(content)).copy())

    def _prepared(self, whole: Image.Image) -> Array:
        if max(whole.size) > MOST_NARROW * min(whole.size):
            raise DataError(f"has {whole.width}x{whole.height} pixels, which is too narrow to cut a square from")
        image = images.resize(whole, [self.resize], interpolation=images.InterpolationMode.BILINEAR)
        return _as_array(images.center_crop(image, [self.size, self.size]))


class CatVDog(ImageFolder):
    """Cats and dogs, in whichever form they come: Kaggle's Dogs vs. Cats, Microsoft's PetImages, or split folders.

    Kaggle's is ``train/cat.0.jpg`` and so on (its ``test1`` has no labels and is not used), Microsoft's
    ``PetImages/Cat/`` and ``PetImages/Dog/``. Of these, which have no split, a fifth of each class is for testing,
    always the same one.
    """

    wanted = ("train/cat.0.jpg", "PetImages/Cat", "train/<class>/")
    folders = ("PetImages", "dogs-vs-cats")
    origin = "Kaggle's Dogs vs. Cats (train.zip, unpacked) or Microsoft's Kaggle Cats and Dogs (PetImages)"

    CLASSES = ("cat", "dog")

    EMPTY = ("Cat/666.jpg", "Dog/11702.jpg")
    """Files of PetImages that are empty in Microsoft's archive itself."""

    def is_here(self, place: Path) -> bool:
        return bool(super().is_here(place) or self._pet_images(place) or self._numbered(place))

    def missing(self, wanted: str) -> Any:
        return super().missing(wanted.replace(" and ", " or "))

    def list_files(self, folder: Path) -> Listing:
        if ImageFolder.is_here(self, folder):
            return super().list_files(folder)
        return with_test_part(self._pet_images(folder) or self._numbered(folder), self.CLASSES)

    def _pet_images(self, place: Path) -> list[LabelledFile]:
        for folder in (place / "PetImages", place):
            parts = [folder / name.capitalize() for name in self.CLASSES]
            if all(part.is_dir() for part in parts):
                return [
                    LabelledFile(path, label)
                    for label, part in enumerate(parts)
                    for path in files_below(part, SUFFIXES)
                    if f"{part.name}/{path.name}" not in self.EMPTY or path.stat().st_size
                ]
        return []

    def _numbered(self, place: Path) -> list[LabelledFile]:
        return [
            LabelledFile(path, label)
            for label, name in enumerate(self.CLASSES)
            for path in sorted((place / "train").glob(f"{name}.*"))
            if path.suffix.lower() in SUFFIXES
        ]


def _as_array(image: Image.Image) -> Array:
    """``(3, H, W)`` bytes."""
    return np.asarray(image).transpose(2, 0, 1)
