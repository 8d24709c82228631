import torch

from parity_exp.data import CropAndFlip


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
