"""What training is handed: queries, predictions and labels that belong together."""

import torch

from parity_exp.coding import ConcatenationEncoder
from parity_exp.data import (
    BaseDataModule,
    CropAndFlip,
    GroupBatch,
    GroupDataModule,
    LabelledBatch,
    Samples,
    Splits,
)
from parity_exp.data.augmentation import Augmentation
from parity_exp.tasks import Classification


def numbered(count: int, start: int = 0) -> Samples:
    """Images whose pixels, labels and predictions all tell which sample it is."""
    numbers = torch.arange(start, start + count)
    return Samples(numbers.float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4) / 1_000, numbers)


def predictions(samples: Samples) -> torch.Tensor:
    return samples.labels.float().unsqueeze(1) * 10


def splits(augmentation: Augmentation | None = None, mean: float = 0.0) -> Splits:
    return Splits(numbered(50), numbered(21, 100), numbered(5, 200), Classification("a"), (mean,), (1.0,), augmentation)


def groups(augmentation: Augmentation | None = None, k: int = 3, mean: float = 0.0) -> GroupDataModule:
    made = splits(augmentation, mean)
    module = GroupDataModule(made, k, lambda q: q, predictions(made.train), predictions(made.validation), 4, seed=0)
    module.setup("fit")
    return module


def test_queries_predictions_and_labels_of_a_group_belong_together() -> None:
    module = groups()
    batches = [batch for run in module.train_dataloader() for batch in run]
    assert all(isinstance(batch, GroupBatch) for batch in batches)
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 4]
    for batch in batches:
        torch.testing.assert_close(batch.prepared[:, :, 0, 0, 0] * 1_000, batch.labels.float())
        torch.testing.assert_close(batch.predictions[..., 0], batch.labels.float() * 10)
        assert batch.counted.all()
    assert len(torch.cat([batch.labels.flatten() for batch in batches]).unique()) == 48


def test_validation_counts_every_sample_once() -> None:
    batches = list(groups(k=4).val_dataloader())
    labels = torch.cat([batch.labels[batch.counted] for batch in batches])
    assert labels.sort().values.tolist() == list(range(100, 121))


def test_augmentation_changes_queries_but_not_predictions() -> None:
    class Brighter(Augmentation):
        def __call__(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
            return images + torch.rand(len(images), 1, 1, 1, generator=random) + 1

    module = groups(Brighter(), mean=0.5)
    first, again = ([batch for run in module.train_dataloader() for batch in run] for _ in range(2))
    for batch, same in zip(first, again, strict=True):
        # Augmented in [0, 1], normalised afterwards.
        assert (batch.prepared.amin(dim=(-1, -2, -3)) * 1_000 >= batch.labels + 500).all()
        torch.testing.assert_close(batch.predictions[..., 0], batch.labels.float() * 10)
        assert torch.equal(batch.prepared, same.prepared), "an epoch can be drawn again"
        added = batch.prepared.amin(dim=(-1, -2, -3)) - batch.labels / 1_000
        assert len(added.unique()) > 1, "each image is changed on its own"


def test_augmented_queries_are_prepared_after_it() -> None:
    encoder = ConcatenationEncoder(2, 1, (1, 4, 4))
    made = splits(CropAndFlip(1))
    module = GroupDataModule(made, 2, encoder.prepare, predictions(made.train), predictions(made.validation), 4, 0)
    module.setup("fit")
    batch = next(iter(next(iter(module.train_dataloader()))))
    assert batch.prepared.shape == (4, 2, 1, 4, 2)


def test_the_base_model_learns_from_labelled_batches_in_a_new_order_each_epoch() -> None:
    module = BaseDataModule(splits(), batch_size=8, seed=0)
    module.setup("fit")
    batches = [batch for run in module.train_dataloader() for batch in run]
    assert all(isinstance(batch, LabelledBatch) for batch in batches)
    labels = torch.cat([batch.labels for batch in batches])
    assert labels.sort().values.tolist() == list(range(50)) and labels.tolist() != list(range(50))
    inputs = torch.cat([batch.inputs for batch in batches])
    torch.testing.assert_close(inputs[:, 0, 0, 0] * 1_000, labels.float())
    held_out = torch.cat([batch.labels for batch in module.val_dataloader()])
    assert held_out.tolist() == list(range(100, 121))
