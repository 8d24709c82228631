"""The small vision transformer: any image, patches where they are, and what cannot be."""

import pytest
import torch

from parity_exp.models import VisionTransformer


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 13, 30), (1, 5, 3)])
@pytest.mark.parametrize("patch", [4, 7])
def test_images_of_any_shape_are_cut_into_patches(shape: tuple[int, int, int], patch: int) -> None:
    network = VisionTransformer(shape, 10, patch=patch, width=16, depth=2, heads=2)
    assert network.tokens == (-(-shape[1] // patch), -(-shape[2] // patch))
    assert network(torch.rand(3, *shape)).shape == (3, 10)


def test_a_token_is_made_of_its_patch_alone() -> None:
    network = VisionTransformer((3, 8, 12), 10, patch=4, width=16, depth=1)
    image = torch.rand(1, 3, 8, 12)
    changed = image.clone()
    changed[:, :, 4:, 8:] += 1  # the last of 2 x 3 patches
    different = (network.embed(image) - network.embed(changed)).abs().sum(-1)[0]
    assert torch.equal(different > 0, torch.tensor([False] * 5 + [True]))


def test_positions_tell_patches_apart() -> None:
    torch.manual_seed(0)
    network = VisionTransformer((1, 8, 8), 10, patch=4, width=16, depth=2).eval()
    image = torch.rand(1, 1, 8, 8)
    swapped = image.flip(3)
    with torch.no_grad():
        assert not torch.allclose(network(image), network(swapped), atol=1e-6)
        network.positions.zero_()
        network.project.weight.copy_(network.project.weight.mean(1, keepdim=True).expand(-1, 16))
        assert torch.allclose(network(image), network(swapped), atol=1e-5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="width=50 does not divide into 4 heads"):
        VisionTransformer((1, 28, 28), 10, width=50)
    with pytest.raises(ValueError, match=r"needs images \(C, H, W\)"):
        VisionTransformer((64,), 10)
