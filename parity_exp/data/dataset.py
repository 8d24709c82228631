"""What every data set is: labelled tensors, split into training, validation and test.

To add a data set, subclass :class:`Dataset`, implement :meth:`Dataset.read`, and point a YAML file's ``_target_`` at
the class. A data set of many files subclasses :class:`parity_exp.data.FileDataset` instead, which reads them once.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.data.augmentation import Augmentation
from parity_exp.data.groups import Alike
from parity_exp.data.preparation import Preparation
from parity_exp.data.queries_as_text import Texts
from parity_exp.errors import DataError
from parity_exp.ranges import Count, Positive, Seed, Text
from parity_exp.tasks import Classification, Task

VALIDATION_SAMPLES = 5_000
"""Samples held out for validation, as in ParM's evaluation."""

SMALL_TRAINING_SET = 20_000
"""Training sets smaller than this hold out a tenth instead."""


@dataclass(frozen=True)
class Samples:
    """Queries and their true labels.

    Attributes:
        inputs: ``(N, C, H, W)``, or ``(N, L)`` token ids, float32; or kept small as uint8, which stands for [0, 1] in
            steps of 1/255, or as float16. Those may be a memory-mapped file. :func:`as_floats` gives float32 for all of
            them.
        labels: ``(N,)`` int64 for classes, ``(N, 4)`` float32 for boxes.
        digest: hash of inputs and labels, where it is known without reading them all.
    """

    inputs: Tensor
    labels: Tensor
    digest: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Samples":
        return Samples(self.inputs[index], self.labels[index])

    def to(self, device: torch.device) -> "Samples":
        return Samples(self.inputs.to(device), self.labels.to(device), self.digest)

    def fingerprint(self) -> str:
        """Hash of inputs and labels, of all their bytes unless that is known."""
        layout = (tuple(self.inputs.shape), self.inputs.dtype, self.labels.dtype)
        digest = hashlib.blake2b(repr(layout).encode())
        if self.digest is not None:
            digest.update(self.digest.encode())
        else:
            digest.update(self.inputs.contiguous().view(torch.uint8).numpy().data)
            digest.update(self.labels.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Splits:
    """A data set, images in [0, 1] and not yet normalised, with what is needed to use it.

    Attributes:
        train: samples to learn from.
        validation: samples held out of the training set, to choose the best epoch by.
        test: samples that nothing is chosen by.
        task: what the labels mean.
        mean: per channel, subtracted from inputs.
        std: per channel, inputs are divided by it.
        augmentation: random change of training inputs, before normalisation; none if not given.
        texts: how queries became token ids, where they are such; None: their numbers are quantities, of which sums and
            means make sense.
        preparation: how a picture or a text becomes an input as samples have them; None: the data set does not say.
        correlated: share of a coding group's queries that are of one class, as requests that come together may be.
    """

    train: Samples
    validation: Samples
    test: Samples
    task: Task
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | None = None
    texts: Texts | None = None
    preparation: Preparation | None = None
    correlated: float = 0.0

    def alike(self, samples: Samples) -> Alike | None:
        """How the queries of a group of some samples resemble each other; None: not at all."""
        return Alike(samples.labels, self.correlated) if self.correlated else None

    def judged(self, name: str, predictions: Tensor) -> Samples:
        """A split with what answers are measured against as its labels.

        Args:
            name: ``train``, ``validation`` or ``test``.
            predictions: the base model's for its samples, ``(N, outputs)``.
        """
        samples: Samples = getattr(self, name)
        return Samples(samples.inputs, self.task.truth(samples.labels, predictions), samples.digest)

    @property
    def query_shape(self) -> tuple[int, ...]:
        """Shape of one query, ``(C, H, W)``, or ``(L,)`` of token ids."""
        return tuple(self.train.inputs.shape[1:])

    def normalise(self, inputs: Tensor) -> Tensor:
        """Bring inputs ``(N, C, H, W)`` as they are kept to what networks see, float32.

        Raises:
            SettingError: a mean or deviation a channel, of other channels than there are.
        """
        values = as_floats(inputs)
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, inputs.shape[1]):
                raise SettingError(
                    f"{{{name}}}={list(numbers)}: expected one number, or {inputs.shape[1]}, one for each channel"
                )
        if all(mean == 0 for mean in self.mean) and all(std == 1 for std in self.std):
            return values
        mean, std = (_by_channel(values, inputs.device, inputs.dim() - 2) for values in (self.mean, self.std))
        if values is inputs:
            return (inputs - mean) / std
        return values.sub_(mean).div_(std)

    @property
    def from_clients(self) -> Preparation | None:
        """How a picture or a text becomes what networks see; None: the data set does not say."""
        return None if self.preparation is None else self.preparation.then(self.normalise)

    def fingerprint(self) -> str:
        """Hash of everything a network trained on these samples depends on; for cache keys."""
        task = type(self.task)
        content = (self.mean, self.std, self.augmentation, f"{task.__module__}.{task.__qualname__}", self.task.outputs)
        digest = hashlib.blake2b(repr(content).encode())
        if self.texts is not None:
            digest.update(f"{self.texts.size} token ids".encode())
        for samples in (self.train, self.validation):
            digest.update(samples.fingerprint().encode())
        return digest.hexdigest()[:32]


@cache
def _by_channel(values: tuple[float, ...], device: torch.device, dimensions: int) -> Tensor:
    """A number a channel, ``(C, 1, ...)``, copied to the device once: a copy in every batch would wait for it."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(-1, *[1] * dimensions)


def as_floats(inputs: Tensor) -> Tensor:
    """Inputs as float32: bytes in steps of 1/255, others by value. What is float32 already is returned as it is."""
    return inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs.float()


class Dataset(ABC):
    """Base class of data sets.

    Attributes:
        brought_by: what brings the data set to a machine, in a line; empty where nothing has to.

    Args:
        name: what error messages call it; the name of its YAML file.
        root: folder to look in first, and to download to.
        split_seed: seed of the draw of the validation samples.
        mean: per channel mean of the inputs.
        std: per channel standard deviation of the inputs.
        augmentation: random change of training inputs.
        limit: use the first this many samples of each split only; for trying things out.
    """

    brought_by: str = ""

    def __init__(
        self,
        name: Text,
        root: Text | None = None,
        split_seed: Seed = 0,
        mean: Annotated[Sequence[Annotated[float, Ge(-1e6), Le(1e6)]], MinLen(1)] = (0.0,),
        std: Annotated[Sequence[Positive], MinLen(1)] = (1.0,),
        augmentation: Augmentation | None = None,
        limit: Count | None = None,
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

    def texts(self) -> Texts | None:
        """How queries became token ids; None where they are numbers of another kind, as those of images."""
        return None

    def preparation(self) -> Preparation | None:
        """How a picture or a text that is no sample becomes an input, as samples do; None where nothing is known.

        It is asked once the data set has been read.
        """
        return None

    def adopt(self, run: Path) -> None:
        """Take from a run directory what training has fixed of how queries are made; most data sets have nothing there.

        Args:
            run: of a trained run.
        """
        return

    def look(self) -> Path | None:
        """Find the data set's files, without a download, and check them as far as that is quick.

        Returns:
            Their folder; None where there are no files to look for, or the class does not say.

        Raises:
            MissingDataError: there are none.
            DataError: they are damaged.
        """
        return None

    def task(self, class_names: Sequence[str]) -> Task:
        """What networks are to do with the samples; classification unless a data set says otherwise."""
        return Classification(class_names)

    def read_validation(self) -> Samples | None:
        """Return the data set's own validation samples; None, and some of the training samples are held out.

        Raises:
            DataError: the data are missing or damaged.
        """
        return None

    def load(self) -> Splits:
        """Read the data set and, where it does not bring its own, hold out the validation samples.

        Raises:
            SettingError: the augmentation moves what the labels say the place of.
            DataError: the data are missing or damaged.
        """
        train, test, class_names = self.read()
        task = self.task(class_names)
        if self.augmentation is not None and self.augmentation.moves and task.has_places:
            raise SettingError(
                f"{{augmentation}} ({type(self.augmentation).__name__}) moves things in the image, but the labels of "
                f"{{/data}}={self.name} say where they are; leave {{augmentation}} out, or set it to {{null}}"
            )
        validation = self.read_validation()
        self._check_normalisation()
        splits = {"training": train, "validation": validation, "test": test}
        for split, samples in splits.items():
            if samples is not None:
                self._check(split, samples, task, tuple(train.inputs.shape[1:]))
        if self.limit is not None:
            train, test = train[: self.limit], test[: self.limit]
            validation = validation and validation[: self.limit]
        if len(train) < 2 or len(test) < 1 or (validation is not None and len(validation) < 1):
            own = "" if validation is None else f", {len(validation)} validation"
            raise DataError(f"{self.name}: {len(train)} training{own} and {len(test)} test samples are too few")
        if validation is None:
            held_out, rest = self.hold_out(len(train))
            train, validation = train[rest], train[held_out]
        return Splits(
            train=train,
            validation=validation,
            test=test,
            task=task,
            mean=self.mean,
            std=self.std,
            augmentation=self.augmentation,
            texts=self.texts(),
            preparation=self.preparation(),
        )

    def _check(self, split: str, samples: Samples, task: Task, shape: tuple[int, ...]) -> None:
        """Refuse samples that do not belong together, before a network is asked to make sense of them."""
        if len(samples.inputs) != len(samples.labels):
            raise DataError(f"{self.name}: {len(samples.inputs):,} {split} inputs but {len(samples.labels):,} labels")
        if len(samples) and tuple(samples.inputs.shape[1:]) != shape:
            raise DataError(
                f"{self.name}: {split} samples have the shape {tuple(samples.inputs.shape[1:])} and training "
                f"samples {shape}; bring them to one size"
            )
        kind = samples.inputs.dtype
        if not kind.is_floating_point and kind not in (torch.uint8, torch.bool):
            raise DataError(
                f"{self.name}: {split} inputs are {str(kind).removeprefix('torch.')}; expected floats, or "
                "uint8, which stands for [0, 1] in steps of 1/255"
            )
        if kind == torch.float32 and not samples.inputs.isfinite().all():
            raise DataError(f"{self.name}: {split} inputs hold values that are no finite numbers; repair them")
        problem = task.label_problem(samples.labels)
        if problem:
            raise DataError(f"{self.name}: {split} {problem}")

    def _check_normalisation(self) -> None:
        """Refuse means and deviations that leave no numbers of inputs."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not values or not all(map(math.isfinite, values)):
                raise SettingError(f"{{{name}}}={list(values)}: expected one number, or one for each channel")
        if min(self.std) <= 0:
            raise SettingError(f"{{std}}={list(self.std)}: expected numbers above 0, for inputs are divided by them")

    def hold_out(self, samples: int) -> tuple[Tensor, Tensor]:
        """Draw which training samples are for validation: the indices of those, and of the rest."""
        count = VALIDATION_SAMPLES if samples >= SMALL_TRAINING_SET else max(1, samples // 10)
        order = torch.randperm(samples, generator=torch.Generator().manual_seed(self.split_seed))
        return order[:count], order[count:]
