"""CUB-200-2011: where is the bird?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as images

from parity_exp.data.file_cache import Array
from parity_exp.data.file_dataset import FileDataset, Label, LabelledFile, Listing
from parity_exp.data.from_clients import picture_sent
from parity_exp.data.pictures import read_image
from parity_exp.data.preparation import Preparation
from parity_exp.errors import DataError
from parity_exp.files.texts import path_in_list
from parity_exp.ranges import Side
from parity_exp.tasks import Localization, Task

Value = TypeVar("Value")

Box = tuple[float, float, float, float]

IMAGES, SPLIT, BOXES = "images.txt", "train_test_split.txt", "bounding_boxes.txt"

LARGEST = 1e6
"""No picture has so many pixels on a side."""

LEAST_INSIDE = 0.5
"""Part of a box that has to be in the image."""


class CUBLocalization(FileDataset):
    """Caltech-UCSD Birds-200-2011: one box an image, and no classes (Parity Models' localization task).

    The folder is the official archive's ``CUB_200_2011``: ``images.txt``, ``train_test_split.txt``,
    ``bounding_boxes.txt`` and ``images/``. Whole images are resized to ``size`` x ``size`` pixels, and boxes are scaled
    along and cut at the image's edges: a label is (x, y, w, h) as :mod:`parity_exp.tasks.localization` has it.

    Args:
        size: side of the images, in pixels.
        settings: those of :class:`FileDataset`.
    """

    wanted = (IMAGES, SPLIT, BOXES, "images")
    folders = ("CUB_200_2011",)
    origin = "Caltech-UCSD Birds-200-2011 (CUB_200_2011.tgz, unpacked)"
    dtype = "uint8"
    label_shape = (4,)
    label_dtype = "float32"

    def __init__(self, size: Side = 224, **settings: Any) -> None:
        super().__init__(**settings)
        if size < 1:
            raise ValueError(f"size={size} must be 1 or more")
        self.size = size

    def task(self, class_names: Sequence[str]) -> Task:
        return Localization()

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    def reading(self) -> dict[str, Any]:
        return {"size": self.size}

    def list_files(self, folder: Path) -> Listing:
        names = self._table(folder / IMAGES, _name)
        training = self._table(folder / SPLIT, _flag)
        boxes = self._table(folder / BOXES, _box)
        for path, table in ((SPLIT, training), (BOXES, boxes)):
            unknown, lacking = table.keys() - names.keys(), names.keys() - table.keys()
            if unknown:
                raise self.error(f"{folder / path} speaks of image {min(unknown)}, which {IMAGES} does not have")
            if lacking:
                raise self.error(f"{folder / path} says nothing of image {min(lacking)}, {names[min(lacking)]}")
        files = {number: LabelledFile(folder / "images" / name, boxes[number]) for number, name in names.items()}
        return Listing(
            [file for number, file in files.items() if training[number]],
            None,
            [file for number, file in files.items() if not training[number]],
        )

    def _table(self, path: Path, parse: Callable[[str], Value]) -> dict[int, Value]:
        """A file with a line for each image: its number, then what ``parse`` reads."""
        table: dict[int, Value] = {}
        for row, line in enumerate(self.text(path).splitlines(), start=1):
            words = line.split(maxsplit=1)
            if not words:
                continue
            try:
                number, value = int(words[0]), parse(words[1] if len(words) > 1 else "")
            except ValueError:
                raise self.error(f"{path}, line {row}: cannot read {line.strip()[:80]!r}") from None
            if number in table:
                raise self.error(f"{path}, line {row}: image {number} is there twice")
            table[number] = value
        return table

    def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
        image = read_image(file.path)
        x, y, w, h = _inside(cast(Box, file.label), image.width, image.height)
        box = (2 * x / image.width - 1, 2 * y / image.height - 1, 2 * w / image.width, 2 * h / image.height)
        return self._resized(image), box

    def preparation(self) -> Preparation | None:
        return Preparation("image", self._from_client)

    def _from_client(self, content: bytes) -> Tensor:
        return torch.from_numpy(self._resized(picture_sent(content)).copy())

    def _resized(self, image: Image.Image) -> Array:
        resized = images.resize(image, [self.size, self.size], interpolation=images.InterpolationMode.BILINEAR)
        return np.asarray(resized).transpose(2, 0, 1)


def _name(text: str) -> str:
    return path_in_list(text)


def _flag(text: str) -> bool:
    return bool(("0", "1").index(text.strip()))


def _box(text: str) -> Box:
    """x and y of the upper left corner, width and height, in pixels."""
    x, y, width, height = (float(word) for word in text.split())
    if not (width > 0 and height > 0 and all(abs(value) <= LARGEST for value in (x, y, width, height))):
        raise ValueError
    return x, y, width, height


def _inside(box: Box, image_width: int, image_height: int) -> Box:
    """The part of a box that is in the image; annotators' boxes hang over by a pixel or so.

    Raises:
        DataError: most of the box is outside, as where boxes belong to another size of the image.
    """
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, image_width), min(y + height, image_height)
    seen = max(right - left, 0) * max(bottom - top, 0)
    if seen < LEAST_INSIDE * width * height:
        raise DataError(
            f"has {image_width}x{image_height} pixels, and its box in {BOXES} ({x:g}, {y:g}, {width:g}, {height:g}) "
            "lies outside, so they do not belong together"
        )
    return left, top, right - left, bottom - top
