"""LightningDataModules over tensors: everything is moved to the device once, and a batch is one indexing.

The loaders they return yield ready batches; nothing is collated and nothing is copied per sample. Inputs in float32
are normalised and prepared ahead, once; those that are kept smaller than that stay so, and batches of them are
finished when they are used.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from parity_exp.data.dataset import Samples, Splits, as_floats
from parity_exp.data.groups import Batches, Runs, coding_groups, covering_groups, epoch_generator
from parity_exp.devices.memory import samples_at_once

VALIDATION_BATCH = 2_000
"""Samples in a validation batch on a processor, unless they are large: many, since nothing is learned from it."""

STEPS_IN_RUN, STEPS_IN_RUN_ON_GPU = 20, 100
"""Training batches that are handed to Lightning at once: what it does around them takes as long as ten small steps of
a processor, or as fifty of a GPU."""

LEAST_TO_LEARN_FROM = 2
"""Rows in a training batch, where there are as many: of one alone, batch norm knows no variance."""

AUGMENTATION = 1
"""The stream of an epoch's random numbers that augmentation draws from; the order of samples has stream 0."""

Draw = Callable[[int], Tensor]
Make = Callable[[Tensor, int, int], object]
Finish = Callable[[Tensor, int, int], Tensor]
"""Turns inputs ``(N, C, H, W)`` as they are kept into what a batch holds, given the epoch and the batch's number."""


class LabelledBatch(NamedTuple):
    """What the base model learns from: inputs ``(B, C, H, W)`` and labels ``(B, *label)``."""

    inputs: Tensor
    labels: Tensor


class GroupBatch(NamedTuple):
    """What a code learns from.

    Attributes:
        prepared: ``(B, k, *prepared)``, queries as :meth:`parity_exp.coding.Encoder.prepare` leaves them.
        predictions: ``(B, k, *out)``, the base model's predictions for the queries without augmentation.
        labels: ``(B, k, *label)``.
        counted: ``(B, k)``, false for samples that only fill up a group; all true in training.
    """

    prepared: Tensor
    predictions: Tensor
    labels: Tensor
    counted: Tensor


class _TensorDataModule(LightningDataModule):
    """What both modules share: where tensors live, which process this is, which epoch it is."""

    def __init__(self, splits: Splits, batch_size: int, seed: int) -> None:
        super().__init__()
        self.splits = splits
        self.batch_size = batch_size
        self.seed = seed

    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0

    def _training(self, draw: Draw, make: Make, rows: int) -> Runs:
        rank, world_size = self._place()
        unchanging = self.splits.augmentation is None
        batches = Batches(
            draw, make, rows, self.batch_size, self._epoch, rank, world_size, True, unchanging, LEAST_TO_LEARN_FROM
        )
        # Processes that train together take turns with Lightning after every single backward pass.
        alone = STEPS_IN_RUN_ON_GPU if self._device().type == "cuda" else STEPS_IN_RUN
        return Runs(batches, alone if world_size == 1 else 1)

    def _validation(self, draw: Draw, make: Make, rows: int, batch_size: int) -> Batches:
        rank, world_size = self._place()
        share = -(-rows // world_size)
        return Batches(draw, make, rows, min(batch_size, share), self._epoch, rank, world_size, even=False)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _normalised(self, images: Tensor, _: int = 0, __: int = 0) -> Tensor:
        return self.splits.normalise(images)

    def _augmented(self, images: Tensor, epoch: int, batch: int) -> Tensor:
        """Training images as networks see them, ``(N, C, H, W)`` as they are kept to normalised."""
        if self.splits.augmentation is not None:
            random = epoch_generator(self.seed + batch, epoch, AUGMENTATION)
            images = self.splits.augmentation(as_floats(images), random)
        return self.splits.normalise(images)

    def _placed(self, samples: Samples, finish: Finish, ahead: bool = True) -> tuple[Samples, Finish]:
        """Samples on the device, and what is left to be done to a batch of their inputs.

        Args:
            samples: as the data set has them.
            finish: what has to be done.
            ahead: whether it may be done to all of them now.
        """
        samples = samples.to(self._device())
        if ahead and samples.inputs.dtype == torch.float32:
            return Samples(finish(samples.inputs, 0, 0), samples.labels), _nothing
        return samples, finish

    @property
    def _at_once(self) -> int:
        return samples_at_once(self.splits.query_shape, VALIDATION_BATCH, self._device())


def _nothing(inputs: Tensor, _: int, __: int) -> Tensor:
    return inputs


class BaseDataModule(_TensorDataModule):
    """Labelled batches for the base model.

    Args:
        splits: the data set.
        batch_size: samples in a training batch.
        seed: seed of the order and of the augmentation.
    """

    def setup(self, stage: str) -> None:
        unchanging = self.splits.augmentation is None
        self.train, self.finish_train = self._placed(self.splits.train, self._augmented, unchanging)
        self.validation, self.finish_validation = self._placed(self.splits.validation, self._normalised)

    def train_dataloader(self) -> Runs:
        rows = len(self.train)

        def draw(epoch: int) -> Tensor:
            return torch.randperm(rows, generator=epoch_generator(self.seed, epoch)).to(self._device())

        def make(index: Tensor, epoch: int, batch: int) -> LabelledBatch:
            return LabelledBatch(self.finish_train(self.train.inputs[index], epoch, batch), self.train.labels[index])

        return self._training(draw, make, rows)

    def val_dataloader(self) -> Batches:
        rows = len(self.validation)

        def draw(_: int) -> Tensor:
            return torch.arange(rows, device=self._device())

        def make(index: Tensor, epoch: int, batch: int) -> LabelledBatch:
            inputs = self.finish_validation(self.validation.inputs[index], epoch, batch)
            return LabelledBatch(inputs, self.validation.labels[index])

        return self._validation(draw, make, rows, self._at_once)


class GroupDataModule(_TensorDataModule):
    """Coding groups for the coded model.

    Args:
        splits: the data set.
        k: queries in a coding group.
        prepare: the encoder's part that does not depend on the group; run once where nothing is augmented.
        train_predictions: the base model's predictions for the training samples, ``(N, *out)``.
        validation_predictions: the same for the validation samples.
        batch_size: groups in a training batch.
        seed: seed of the groups and of the augmentation.
    """

    def __init__(
        self,
        splits: Splits,
        k: int,
        prepare: Callable[[Tensor], Tensor],
        train_predictions: Tensor,
        validation_predictions: Tensor,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(splits, batch_size, seed)
        self.k = k
        self.prepare = prepare
        self.train_predictions = train_predictions
        self.validation_predictions = validation_predictions

    @torch.no_grad()
    def setup(self, stage: str) -> None:
        device = self._device()
        unchanging = self.splits.augmentation is None
        self.train, self.finish_train = self._placed(self.splits.train, self._prepared_training, unchanging)
        self.train_predictions = self.train_predictions.to(device)
        self.validation, self.finish_validation = self._placed(self.splits.validation, self._prepared)
        self.validation_predictions = self.validation_predictions.to(device)

    def _prepared_training(self, images: Tensor, epoch: int, batch: int) -> Tensor:
        return self.prepare(self._augmented(images, epoch, batch))

    def _prepared(self, images: Tensor, _: int, __: int) -> Tensor:
        return self.prepare(self.splits.normalise(images))

    @staticmethod
    def _grouped(inputs: Tensor, groups: Tensor, finish: Finish, epoch: int, batch: int) -> Tensor:
        """The inputs of groups ``(B, k)``, finished: ``(B, k, *prepared)``."""
        return finish(inputs[groups.flatten()], epoch, batch).unflatten(0, groups.shape)

    def train_dataloader(self) -> Runs:
        samples = len(self.train)
        device = self._device()
        alike = self.splits.alike(self.splits.train)
        all_counted = torch.ones(self.batch_size + LEAST_TO_LEARN_FROM, self.k, dtype=torch.bool, device=device)

        def draw(epoch: int) -> Tensor:
            return coding_groups(samples, self.k, self.seed, epoch, alike).to(device)

        def make(groups: Tensor, epoch: int, batch: int) -> GroupBatch:
            prepared = self._grouped(self.train.inputs, groups, self.finish_train, epoch, batch)
            return GroupBatch(
                prepared, self.train_predictions[groups], self.train.labels[groups], all_counted[: len(groups)]
            )

        return self._training(draw, make, samples // self.k)

    def val_dataloader(self) -> Batches:
        alike = self.splits.alike(self.splits.validation)
        groups, counted = covering_groups(len(self.validation), self.k, self.seed, alike)
        device = self._device()
        rows = torch.arange(len(groups), device=device)
        groups, counted = groups.to(device), counted.to(device)

        def make(index: Tensor, epoch: int, batch: int) -> GroupBatch:
            chosen = groups[index]
            return GroupBatch(
                self._grouped(self.validation.inputs, chosen, self.finish_validation, epoch, batch),
                self.validation_predictions[chosen],
                self.validation.labels[chosen],
                counted[index],
            )

        return self._validation(lambda _: rows, make, len(groups), max(1, self._at_once // self.k))
