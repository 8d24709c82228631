"""How a data set is split, limited, normalised and told apart."""

from collections.abc import Sequence

import pytest
import torch

from parity_exp.checks import SettingError
from parity_exp.data import Augmentation, CropAndFlip, Dataset, DigitBoxes, Digits, RandomResizedCropAndFlip, Samples
from parity_exp.errors import DataError


class Numbered(Dataset):
    """Sample i is an image of the number i, so that it can be recognised anywhere."""

    def __init__(self, train: int, test: int = 10, **settings: object) -> None:
        super().__init__(name="numbered", **settings)  # type: ignore[arg-type]
        self.sizes = train, test

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        train, test = (Samples(torch.arange(n).float().view(-1, 1, 1, 1), torch.arange(n) % 3) for n in self.sizes)
        return train, test, ["a", "b", "c"]


@pytest.mark.parametrize(
    ("samples", "held_out"), [(60_000, 5_000), (20_000, 5_000), (19_999, 1_999), (100, 10), (5, 1), (2, 1)]
)
def test_the_validation_split_is_5000_or_a_tenth(samples: int, held_out: int) -> None:
    splits = Numbered(samples).load()
    assert (len(splits.validation), len(splits.train)) == (held_out, samples - held_out)
    seen = torch.cat([splits.train.inputs, splits.validation.inputs]).flatten().sort().values
    assert torch.equal(seen, torch.arange(samples).float())
    assert torch.equal(splits.train.labels, splits.train.inputs.flatten().long() % 3)


def test_the_split_depends_on_its_seed_alone() -> None:
    first, again, other = (Numbered(1_000, split_seed=seed).load().validation.inputs for seed in (4, 4, 5))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_limit_takes_the_first_samples() -> None:
    splits = Numbered(1_000, test=100, limit=50).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 5, 50)
    assert splits.train.inputs.max() < 50


@pytest.mark.parametrize(("train", "test"), [(1, 10), (0, 10), (10, 0)])
def test_too_few_samples_are_refused(train: int, test: int) -> None:
    with pytest.raises(DataError, match="too few"):
        Numbered(train, test).load()


class Darker(Augmentation):
    moves = False

    def __call__(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return images * 0.9


def test_boxes_are_not_moved_from_under_their_labels() -> None:
    for augmentation in (CropAndFlip(), RandomResizedCropAndFlip()):
        with pytest.raises(SettingError, match=rf"augmentation \({type(augmentation).__name__}\) moves"):
            DigitBoxes(name="digit_boxes", copies=1, augmentation=augmentation).load()
    assert DigitBoxes(name="digit_boxes", copies=1, limit=20, augmentation=Darker()).load().augmentation


def test_inputs_are_normalised_by_channel() -> None:
    splits = Numbered(10, mean=(0.5, 0.0), std=(0.5, 2.0)).load()
    images = torch.ones(3, 2, 4, 4)
    normalised = splits.normalise(images)
    assert (normalised[:, 0] == 1).all() and (normalised[:, 1] == 0.5).all()
    assert Numbered(10).load().normalise(images) is images


def test_the_fingerprint_changes_with_all_that_training_sees() -> None:
    def fingerprint(**settings: object) -> str:
        return Numbered(100, **settings).load().fingerprint()  # type: ignore[arg-type]

    variants: list[dict[str, object]] = [
        {}, {"split_seed": 1}, {"limit": 50}, {"mean": (0.1,)}, {"std": (2.0,)}, {"augmentation": CropAndFlip(2)},
        {"augmentation": CropAndFlip(4)},
    ]  # fmt: skip
    assert len({fingerprint(**variant) for variant in variants}) == len(variants)
    assert fingerprint() == fingerprint(test=50), "test samples play no part in training"


def test_digits_need_no_file() -> None:
    splits = Digits(name="digits").load()
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (1_437, 360)
    assert len(splits.validation) == 143
    assert splits.query_shape == (1, 16, 16) and splits.task.outputs == 10
    assert splits.train.inputs.min() >= 0 and splits.train.inputs.max() <= 1
    counts = torch.bincount(splits.test.labels)
    assert counts.min() >= 34 and counts.max() <= 37, "the test split is drawn by class"
    assert Digits(name="digits", size=8).load().query_shape == (1, 8, 8)


class Odd(Dataset):
    """A data set of somebody else's that gives what it is told to give."""

    def __init__(self, train: Samples, test: Samples) -> None:
        super().__init__(name="odd")
        self.given = train, test

    def read(self) -> tuple[Samples, Samples, Sequence[str]]:
        return *self.given, ("a", "b", "c")


GOOD = Samples(torch.zeros(12, 1, 4, 4), torch.arange(12) % 3)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Samples(GOOD.inputs, GOOD.labels + 1), "labels run from 1 to 3; expected 0 to 2"),
        (Samples(GOOD.inputs, GOOD.labels - 1), "labels run from -1 to 1; expected 0 to 2"),
        (Samples(GOOD.inputs, GOOD.labels.float()), "type torch.float32; expected whole numbers"),
        (Samples(GOOD.inputs, torch.zeros(12, 3)), r"labels have the shape \(12, 3\)"),
        (Samples(GOOD.inputs[:5], GOOD.labels), "5 .* inputs but 12 labels"),
    ],
)
def test_samples_that_do_not_fit_their_classes_are_refused(bad: Samples, words: str) -> None:
    for split, given in (("training", (bad, GOOD)), ("test", (GOOD, bad))):
        with pytest.raises(DataError, match=rf"odd: .*{words}") as error:
            Odd(*given).load()
        assert split in str(error.value)
    assert len(Odd(GOOD, GOOD).load().test) == 12


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.zeros(12, 1, 4, 4, dtype=torch.int64), "are int64; expected floats, or uint8"),
        (torch.zeros(12, 1, 4, 4, dtype=torch.int32), "are int32"),
        (torch.full((12, 1, 4, 4), torch.nan), "no finite numbers"),
        (torch.full((12, 1, 4, 4), torch.inf), "no finite numbers"),
    ],
)
def test_inputs_whose_scale_is_not_known_are_refused(inputs: torch.Tensor, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Odd(Samples(inputs, GOOD.labels), GOOD).load()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mean": (0.5, 0.5, 0.5)}, r"mean=\[0.5, 0.5, 0.5\]: expected one number, or 1"),
        ({"std": (1.0, 1.0)}, "std"),
        ({"std": (0.0,)}, "std.*above 0"),
        ({"std": (-1.0,)}, "std.*above 0"),
        ({"mean": (float("nan"),)}, "mean"),
        ({"mean": ()}, "mean"),
    ],
)
def test_a_normalisation_that_does_not_fit_the_channels_is_refused(
    settings: dict[str, tuple[float, ...]], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        splits = Numbered(30, **settings).load()
        splits.normalise(splits.train.inputs)
