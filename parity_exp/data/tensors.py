"""A data set of tensors that somebody has in memory, and the same read back from a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from parity_exp.data.dataset import Dataset, Samples, Splits
from parity_exp.errors import DataError
from parity_exp.files.writing import write_bytes
from parity_exp.ranges import Text
from parity_exp.tasks import Classification, Localization, Task

TEST_SHARE = 5
"""Where no test samples are given, one of so many is held out for them."""

SPLITS = ("train", "validation", "test")

Array = Tensor | np.ndarray[Any, Any]


class TensorData(Dataset):
    """Labelled tensors.

    Args:
        inputs: ``(N, C, H, W)``, or any other shape of queries: float32, or uint8, which stands for [0, 1].
        labels: ``(N,)`` whole numbers for classes, or ``(N, 4)`` floats for boxes.
        test: inputs and labels of test samples; None: a fifth of the samples, drawn by ``split_seed``.
        class_names: names of the classes; None: their numbers.
        settings: those of :class:`parity_exp.data.Dataset`.
    """

    def __init__(
        self,
        inputs: Array,
        labels: Array,
        test: tuple[Array, Array] | None = None,
        class_names: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**{"name": "tensors", **settings})
        self.samples = Samples(torch.as_tensor(inputs), _labels(labels))
        self.test = None if test is None else Samples(torch.as_tensor(test[0]), _labels(test[1]))
        self.class_names = class_names

    def task(self, class_names: Sequence[str]) -> Task:
        return Classification(class_names) if class_names else Localization()

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        samples, test = self.samples, self.test
        if len(samples.inputs) != len(samples.labels):
            raise DataError(f"{len(samples.inputs):,} inputs but {len(samples.labels):,} labels")
        if test is None:
            order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(self.split_seed))
            held_out = len(samples) // TEST_SHARE
            samples, test = samples[order[held_out:]], samples[order[:held_out]]
        names = self.class_names
        if names is None:
            boxes = samples.labels.is_floating_point() or not len(samples)
            names = [] if boxes else [str(number) for number in range(int(self.samples.labels.max()) + 1)]
        return samples, test, names


def _labels(labels: Array) -> Tensor:
    made = torch.as_tensor(labels)
    return made.float() if made.is_floating_point() else made.long()


class StoredData(Dataset):
    """Splits that :func:`store_splits` has written.

    Args:
        file: the file.
        settings: those of :class:`parity_exp.data.Dataset`.
    """

    def __init__(self, file: Text, **settings: Any) -> None:
        super().__init__(**settings)
        self.file = file

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        with self._opened() as file:
            names: list[str] = json.loads(file.metadata()["class_names"])
            return _samples(file, "train"), _samples(file, "test"), names

    def read_validation(self) -> Samples | None:
        with self._opened() as file:
            return _samples(file, "validation")

    def task(self, class_names: Sequence[str]) -> Task:
        return Classification(class_names) if class_names else Localization()

    def _opened(self) -> Any:
        try:
            return safe_open(self.file, framework="pt")
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{self.file}: the samples of the run cannot be read ({reason}); restore it") from None


def store_splits(splits: Splits, file: Path) -> None:
    """Write a data set's samples, as they are kept.

    Args:
        splits: without an augmentation, and of one of the package's tasks.
        file: where.

    Raises:
        ValueError: they have something that the file has no place for.
    """
    if type(splits.task) not in (Classification, Localization) or splits.augmentation is not None:
        raise ValueError(
            "only classes or boxes without an augmentation can be stored; give a Dataset of your own class"
        )
    content: dict[str, Tensor] = {}
    for name in SPLITS:
        samples: Samples = getattr(splits, name)
        content |= {f"{name}_inputs": samples.inputs.contiguous(), f"{name}_labels": samples.labels.contiguous()}
    write_bytes(file, save(content, {"class_names": json.dumps(list(splits.task.class_names))}))


def _samples(file: Any, name: str) -> Samples:
    return Samples(file.get_tensor(f"{name}_inputs"), file.get_tensor(f"{name}_labels"))
