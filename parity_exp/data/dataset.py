"""What every data set is: labelled tensors in memory, split into training, validation and test.

To add a data set, subclass :class:`Dataset`, implement :meth:`Dataset.read`, and point a YAML file's ``_target_`` at
the class.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from parity_exp.data.augmentation import Augmentation
from parity_exp.errors import DataError
from parity_exp.tasks import Classification, Task

VALIDATION_SAMPLES = 5_000
"""Samples held out for validation, as in ParM's evaluation."""

SMALL_TRAINING_SET = 20_000
"""Training sets smaller than this hold out a tenth instead."""


@dataclass(frozen=True)
class Samples:
    """Queries and their true labels.

    Attributes:
        inputs: ``(N, C, H, W)`` float32.
        labels: ``(N,)`` int64, numbers of classes; or ``(N, *label)``, whatever the data set's task takes.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Samples":
        return Samples(self.inputs[index], self.labels[index])

    def to(self, device: torch.device) -> "Samples":
        return Samples(self.inputs.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """A data set in memory, inputs in [0, 1] and not yet normalised, with what is needed to use it.

    Attributes:
        train: samples to learn from.
        validation: samples held out of the training set, to choose the best epoch by.
        test: samples that nothing is chosen by.
        task: what the labels mean.
        mean: per channel, subtracted from inputs.
        std: per channel, inputs are divided by it.
        augmentation: random change of training inputs, before normalisation; none if not given.
    """

    train: Samples
    validation: Samples
    test: Samples
    task: Task
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | None = None

    @property
    def query_shape(self) -> tuple[int, ...]:
        """Shape of one query, ``(C, H, W)``."""
        return tuple(self.train.inputs.shape[1:])

    def normalise(self, inputs: Tensor) -> Tensor:
        """Bring inputs ``(N, C, H, W)`` in [0, 1] to what networks see."""
        if all(mean == 0 for mean in self.mean) and all(std == 1 for std in self.std):
            return inputs
        shape = (-1, *[1] * (inputs.dim() - 2))
        mean = torch.tensor(self.mean, device=inputs.device).view(shape)
        std = torch.tensor(self.std, device=inputs.device).view(shape)
        return (inputs - mean) / std

    def fingerprint(self) -> str:
        """Hash of everything a network trained on these samples depends on; for cache keys."""
        task = type(self.task)
        content = (self.mean, self.std, self.augmentation, f"{task.__module__}.{task.__qualname__}", self.task.outputs)
        digest = hashlib.blake2b(repr(content).encode())
        for samples in (self.train, self.validation):
            digest.update(repr(tuple(samples.inputs.shape)).encode())
            digest.update(samples.inputs.contiguous().view(torch.uint8).numpy().data)
            digest.update(samples.labels.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


class Dataset(ABC):
    """Base class of data sets.

    Args:
        name: what error messages call it; the name of its YAML file.
        root: folder to look in first, and to download to.
        split_seed: seed of the draw of the validation samples.
        mean: per channel mean of the inputs.
        std: per channel standard deviation of the inputs.
        augmentation: random change of training inputs.
        limit: use the first this many training and test samples only; for trying things out.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        split_seed: int = 0,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        augmentation: Augmentation | None = None,
        limit: int | None = None,
    ) -> None:
        self.name = name
        self.root = root
        self.split_seed = split_seed
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.augmentation = augmentation
        self.limit = limit

    @abstractmethod
    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        """Return training samples, test samples and class names (none without classes); inputs in [0, 1].

        Raises:
            DataError: the data are missing or damaged.
        """

    def task(self, class_names: Sequence[str]) -> Task:
        """What networks are to do with the samples; classification unless a data set says otherwise."""
        return Classification(class_names)

    def load(self) -> Splits:
        """Read the data set and hold out the validation samples.

        Raises:
            DataError: the data are missing or damaged.
        """
        train, test, class_names = self.read()
        if self.limit is not None:
            train, test = train[: self.limit], test[: self.limit]
        if len(train) < 2 or len(test) < 1:
            raise DataError(f"dataset={self.name}: {len(train)} training and {len(test)} test samples are too few")
        held_out = VALIDATION_SAMPLES if len(train) >= SMALL_TRAINING_SET else max(1, len(train) // 10)
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(self.split_seed))
        return Splits(
            train=train[order[held_out:]],
            validation=train[order[:held_out]],
            test=test,
            task=self.task(class_names),
            mean=self.mean,
            std=self.std,
            augmentation=self.augmentation,
        )
