import pytest
import torch
from torchvision.transforms.v2 import functional as images_of

from parity_exp.data import CropAndFlip, RandomResizedCropAndFlip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_image_is_a_shifted_and_perhaps_mirrored_one() -> None:
    images = torch.rand(1_000, 1, 6, 8)
    changed = CropAndFlip(padding=2)(images, seeded())
    assert changed.shape == images.shape
    padded = torch.nn.functional.pad(images, [2] * 4)
    windows = [padded[:, :, y : y + 6, x : x + 8] for y in range(5) for x in range(5)]
    found = torch.stack([(changed == w).flatten(1).all(1) for c in windows for w in (c, c.flip(-1))], dim=1)
    assert found.any(1).all()
    assert found.any(0).all(), "every shift and both directions occur"


def test_the_generator_alone_decides() -> None:
    images, augmentation = torch.rand(20, 1, 8, 8), CropAndFlip()
    assert torch.equal(augmentation(images, seeded(1)), augmentation(images, seeded(1)))
    assert not torch.equal(augmentation(images, seeded(1)), augmentation(images, seeded(2)))


def test_without_padding_and_flips_nothing_changes() -> None:
    images = torch.rand(5, 3, 4, 4)
    assert torch.equal(CropAndFlip(padding=0, flip=False)(images, seeded()), images)


def test_half_of_the_images_are_mirrored() -> None:
    images = torch.rand(2_000, 1, 2, 2)
    mirrored = (CropAndFlip(padding=0)(images, seeded()) == images.flip(-1)).flatten(1).all(1)
    assert 900 < mirrored.sum() < 1_100


class Fixed(RandomResizedCropAndFlip):
    """Always takes the same part, in shares of width and height."""

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        super().__init__(flip=False)
        self.part = left, top, right, bottom

    def boxes(self, count: int, shape: float, random: torch.Generator) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        return tuple(torch.full((count,), side) for side in self.part)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 24, 40)], ids=str)
def test_a_part_is_enlarged_to_the_whole(shape: tuple[int, ...]) -> None:
    images = torch.rand(2, *shape)
    _, height, width = shape
    enlarged = Fixed(0.25, 0.125, 0.75, 0.875)(images, seeded())
    expected = images_of.resized_crop(images, height // 8, width // 4, 6 * height // 8, width // 2, list(shape[1:]))
    # At its edges a part of an image has neighbours, which resizing alone does not see.
    torch.testing.assert_close(enlarged[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(Fixed(0, 0, 1, 1)(images, seeded()), images, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [1.0, 0.5, 2.0])
def test_parts_have_the_announced_areas_and_ratios(shape: float) -> None:
    left, top, right, bottom = RandomResizedCropAndFlip().boxes(5_000, shape, seeded())
    width, height = right - left, bottom - top
    assert min(left.min(), top.min()) >= 0 and max(right.max(), bottom.max()) <= 1 + 1e-6
    whole = (width == 1) & (height == 1)
    area, ratio = (width * height)[~whole], (width / height)[~whole] / shape
    # Of an image twice as wide as high, no part as high as it is has more than two thirds of it.
    most = 1.0 if shape == 1 else 2 / 3
    assert 0.0799 < area.min() < 0.09 and 0.85 * most < area.max() <= most + 1e-4
    assert 0.7499 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.3334
    assert whole.float().mean() < 0.01


def test_a_part_that_never_fits_is_the_whole_image() -> None:
    images = torch.rand(4, 1, 8, 80)
    changed = RandomResizedCropAndFlip(scale=(1.0, 1.0), flip=False)(images, seeded())
    torch.testing.assert_close(changed, images, rtol=1e-4, atol=1e-4)


def test_resized_crops_depend_on_the_generator_alone_and_half_are_mirrored() -> None:
    images = torch.linspace(0, 1, 16).expand(1_000, 1, 16, 16)
    augmentation = RandomResizedCropAndFlip()
    changed = augmentation(images, seeded(1))
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed, augmentation(images, seeded(1)))
    assert not torch.equal(changed, augmentation(images, seeded(2)))
    falling = changed[:, 0, 8, 0] > changed[:, 0, 8, -1]
    assert 430 < falling.sum() < 570
    assert len({repr(RandomResizedCropAndFlip(scale=(low, 1))) for low in (0.08, 0.5)}) == 2


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scale=\[0\.9, 0\.1\]: expected the least first"):
        RandomResizedCropAndFlip(scale=(0.9, 0.1))
