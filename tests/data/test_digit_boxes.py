"""Digits with boxes: the box is where the ink is."""

import pytest
import torch

from parity_exp.checks import SettingError
from parity_exp.data import DigitBoxes
from parity_exp.tasks import Localization


def test_a_box_holds_the_ink_and_nothing_more() -> None:
    splits = DigitBoxes(name="digit_boxes", size=24, copies=1).load()
    assert isinstance(splits.task, Localization) and splits.query_shape == (1, 24, 24)
    for samples in (splits.train, splits.validation, splits.test):
        for image, box in zip(samples.inputs[:50], samples.labels[:50], strict=True):
            rows, columns = image[0].amax(1).nonzero(), image[0].amax(0).nonzero()
            ink = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            left, top = (box[:2] + 1) * 12
            width, height = box[2:] * 12
            # Enlarging leaves the faintest edges with a pixel less of ink.
            sides = torch.stack([left, top, left + width, top + height])
            torch.testing.assert_close(sides, ink.float(), rtol=0, atol=2)


def test_copies_are_for_training_only_and_everybody_has_the_same() -> None:
    once, again, thrice = (DigitBoxes(name="digit_boxes", copies=copies).load() for copies in (1, 1, 3))
    assert once.fingerprint() == again.fingerprint()
    assert len(thrice.train) + len(thrice.validation) == 3 * (len(once.train) + len(once.validation))
    assert torch.equal(thrice.test.labels, once.test.labels)
    assert len(once.test.labels.unique(dim=0)) > 300


@pytest.mark.parametrize("settings", [{"size": 4}, {"copies": 0}])
def test_values_that_cannot_be_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="at least"):
        DigitBoxes(name="digit_boxes", **settings)
