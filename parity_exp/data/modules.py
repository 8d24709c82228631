"""LightningDataModules over tensors: everything is moved to the device once, and a batch is one indexing.

The loaders they return yield ready batches; nothing is collated and nothing is copied per sample.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from parity_exp.data.dataset import Samples, Splits
from parity_exp.data.groups import Batches, Runs, coding_groups, covering_groups, epoch_generator

VALIDATION_BATCH = 2_000
"""Samples in a validation batch: large, since nothing is learned from it."""

STEPS_IN_RUN = 20
"""Training batches that are handed to Lightning at once."""

AUGMENTATION = 1
"""The stream of an epoch's random numbers that augmentation draws from; the order of samples has stream 0."""

Draw = Callable[[int], Tensor]
Make = Callable[[Tensor, int, int], object]


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
        batches = Batches(draw, make, rows, self.batch_size, self._epoch, rank, world_size, even=True)
        # Processes that train together take turns with Lightning after every single backward pass.
        return Runs(batches, STEPS_IN_RUN if world_size == 1 else 1)

    def _validation(self, draw: Draw, make: Make, rows: int, batch_size: int) -> Batches:
        rank, world_size = self._place()
        share = -(-rows // world_size)
        return Batches(draw, make, rows, min(batch_size, share), self._epoch, rank, world_size, even=False)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _augmented(self, images: Tensor, epoch: int, batch: int) -> Tensor:
        """Training images as networks see them, ``(N, C, H, W)`` in [0, 1] to normalised."""
        if self.splits.augmentation is not None:
            random = epoch_generator(self.seed + batch, epoch, AUGMENTATION)
            images = self.splits.augmentation(images, random)
        return self.splits.normalise(images)


class BaseDataModule(_TensorDataModule):
    """Labelled batches for the base model.

    Args:
        splits: the data set.
        batch_size: samples in a training batch.
        seed: seed of the order and of the augmentation.
    """

    def setup(self, stage: str) -> None:
        device = self._device()
        self.train = self.splits.train.to(device)
        if self.splits.augmentation is None:
            self.train = Samples(self.splits.normalise(self.train.inputs), self.train.labels)
        held_out = self.splits.validation.to(device)
        self.validation = Samples(self.splits.normalise(held_out.inputs), held_out.labels)

    def train_dataloader(self) -> Runs:
        rows = len(self.train)

        def draw(epoch: int) -> Tensor:
            return torch.randperm(rows, generator=epoch_generator(self.seed, epoch)).to(self._device())

        def make(index: Tensor, epoch: int, batch: int) -> LabelledBatch:
            inputs = self.train.inputs[index]
            if self.splits.augmentation is not None:
                inputs = self._augmented(inputs, epoch, batch)
            return LabelledBatch(inputs, self.train.labels[index])

        return self._training(draw, make, rows)

    def val_dataloader(self) -> Batches:
        rows = len(self.validation)

        def draw(_: int) -> Tensor:
            return torch.arange(rows, device=self._device())

        def make(index: Tensor, _: int, __: int) -> LabelledBatch:
            return LabelledBatch(self.validation.inputs[index], self.validation.labels[index])

        return self._validation(draw, make, rows, VALIDATION_BATCH)


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
        self.train = self.splits.train.to(device)
        self.train_predictions = self.train_predictions.to(device)
        if self.splits.augmentation is None:
            self.train = Samples(self.prepare(self.splits.normalise(self.train.inputs)), self.train.labels)
        held_out = self.splits.validation.to(device)
        self.validation = Samples(self.prepare(self.splits.normalise(held_out.inputs)), held_out.labels)
        self.validation_predictions = self.validation_predictions.to(device)

    def train_dataloader(self) -> Runs:
        samples = len(self.train)
        device = self._device()
        all_counted = torch.ones(self.batch_size, self.k, dtype=torch.bool, device=device)

        def draw(epoch: int) -> Tensor:
            return coding_groups(samples, self.k, self.seed, epoch).to(device)

        def make(groups: Tensor, epoch: int, batch: int) -> GroupBatch:
            prepared = self.train.inputs[groups]
            if self.splits.augmentation is not None:
                images = self._augmented(prepared.flatten(0, 1), epoch, batch)
                prepared = self.prepare(images).unflatten(0, groups.shape)
            return GroupBatch(
                prepared, self.train_predictions[groups], self.train.labels[groups], all_counted[: len(groups)]
            )

        return self._training(draw, make, samples // self.k)

    def val_dataloader(self) -> Batches:
        groups, counted = covering_groups(len(self.validation), self.k, self.seed)
        device = self._device()
        rows = torch.arange(len(groups), device=device)
        groups, counted = groups.to(device), counted.to(device)

        def make(index: Tensor, _: int, __: int) -> GroupBatch:
            chosen = groups[index]
            return GroupBatch(
                self.validation.inputs[chosen],
                self.validation_predictions[chosen],
                self.validation.labels[chosen],
                counted[index],
            )

        return self._validation(lambda _: rows, make, len(groups), max(1, VALIDATION_BATCH // self.k))
