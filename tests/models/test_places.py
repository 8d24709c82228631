"""Parity models that keep places apart: of every architecture, from the base model's weights, at its cost."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parity_exp.coding import ConcatenationEncoder, Grid
from parity_exp.models import MLP, VGG11, LeNet, MobileNetV2, ResNet, TorchvisionNetwork, VisionTransformer
from parity_exp.models.operations import operations
from parity_exp.models.places import (
    CannotKeepPlacesApartError,
    Folded,
    PatchesByPlace,
    PlacesApart,
    PooledByPlace,
    places_apart,
)
from parity_exp.models.places.folded import MiddleConv2d

ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], type]] = {
    "lenet": (LeNet, Folded),
    "vgg11": (VGG11, Folded),
    "mlp": (MLP, Folded),
    "resnet18": (partial(ResNet, depth=18), PooledByPlace),
    "mobilenet_v2": (partial(MobileNetV2, width=0.25), PooledByPlace),
    "vit": (partial(VisionTransformer, width=16, depth=2), PatchesByPlace),
    "torchvisions_resnet18": (partial(TorchvisionNetwork, name="resnet18"), Folded),
}


def apart(make: Callable[..., nn.Module], k: int, shape: tuple[int, ...], outputs: int = 10) -> PlacesApart:
    grid = ConcatenationEncoder(k, 1, shape).grid
    assert grid is not None
    return places_apart(make, grid, shape, outputs, settings(make))


def settings(make: Callable[..., nn.Module]) -> Any:
    return getattr(make, "cell_settings", None)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_every_architecture_gives_a_prediction_for_each_place(name: str, k: int) -> None:
    make, kind = ARCHITECTURES[name]
    shape = (1, 32, 32)
    grid = ConcatenationEncoder(k, 1, shape).grid
    assert grid is not None
    network = places_apart(make, grid, shape, 10, settings(make)).eval()
    assert isinstance(network, kind)
    with torch.inference_mode():
        assert network(torch.rand(3, *shape)).shape == (3, k * 10)
        if kind is not PooledByPlace:
            # What stands elsewhere does not reach a place.
            one, other = torch.rand(2, *shape).unbind(0)
            height, width = grid.cell
            other[:, :height, :width] = one[:, :height, :width]
            outputs = network(torch.stack([one, other])).view(2, k, 10)
            assert torch.allclose(outputs[0, 0], outputs[1, 0], atol=1e-5)


def test_places_as_large_as_images_start_as_the_base_model() -> None:
    torch.manual_seed(0)
    base = LeNet((1, 28, 28), 10).eval()
    network = Folded(LeNet((1, 28, 28), 10), Grid(2, 1, 2, (28, 28)), 1).eval()
    network.start_from(base, (1, 28, 28))
    pictures = torch.rand(3, 1, 28, 56)
    with torch.inference_mode():
        expected = torch.stack([base(pictures[..., :28]), base(pictures[..., 28:])], dim=1)
        assert torch.allclose(network(pictures).view(3, 2, 10), expected, atol=1e-5)


def test_weights_that_read_a_map_are_resized_with_it_and_give_the_same_for_a_map_of_one_value() -> None:
    base = LeNet((1, 28, 28), 10)
    with torch.no_grad():
        base.head[1].weight.copy_(torch.rand(1000, 20, 1, 1).expand(-1, -1, 4, 4).flatten(1))
    network = Folded(LeNet((1, 14, 14), 10, padding=(1, 1)), Grid(4, 2, 2, (14, 14)), 1)
    network.start_from(base, (1, 28, 28))
    mine = network.network
    assert isinstance(mine, LeNet)
    assert torch.equal(mine.features[0].weight, base.features[0].weight)
    assert torch.equal(mine.head[3].weight, base.head[3].weight)
    assert mine.head[1].weight.shape == (1000, 20 * 2 * 2)
    assert torch.allclose(mine.head[1].weight.sum(1), base.head[1].weight.sum(1), rtol=1e-4)


def test_pooling_by_place_starts_from_all_of_the_base_models_weights() -> None:
    base = ResNet((1, 16, 16), 10)
    grid = ConcatenationEncoder(4, 1, (1, 16, 16)).grid
    assert grid is not None
    network = places_apart(ResNet, grid, (1, 16, 16), 10)
    network.start_from(base, (1, 16, 16))
    mine = network.network.state_dict()
    assert mine.keys() == base.state_dict().keys()
    assert all(torch.equal(mine[name], weight) for name, weight in base.state_dict().items())


COSTS: list[tuple[str, Callable[..., nn.Module], int, float]] = [
    ("lenet", LeNet, 28, 1.05),
    ("resnet18 28", ResNet, 28, 1.05),
    ("resnet18 32", ResNet, 32, 1.05),
    ("narrow resnet34", partial(ResNet, depth=34, width=8), 28, 1.05),
    ("torchvisions resnet18", partial(TorchvisionNetwork, name="resnet18"), 28, 1.05),
    ("torchvisions resnet18, small", partial(TorchvisionNetwork, name="resnet18"), 64, 1.05),
    ("vit", VisionTransformer, 28, 1.05),
    ("vit, large patches", partial(VisionTransformer, patch=7), 28, 1.2),
]


@pytest.mark.parametrize("k", [2, 3, 4, 6, 9])
@pytest.mark.parametrize(("make", "side", "most"), [case[1:] for case in COSTS], ids=[case[0] for case in COSTS])
def test_places_apart_cost_about_what_the_base_model_costs(
    make: Callable[..., nn.Module], side: int, most: float, k: int
) -> None:
    shape = (1, side, side)
    assert operations(apart(make, k, shape), shape) <= most * operations(make(shape, 10), shape)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d", "densenet121", "alexnet", "squeezenet1_1", "vgg11_bn",
    "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "regnet_y_400mf", "shufflenet_v2_x0_5",
    "mnasnet0_5", "googlenet", "vit_b_32", "swin_t"])  # fmt: skip
def test_torchvisions_families_keep_places_apart_cheaply_or_say_why_not(name: str, k: int) -> None:
    shape = (3, 32, 32)
    make = partial(TorchvisionNetwork, name=name)
    try:
        network = apart(make, k, shape)
    except CannotKeepPlacesApartError as error:
        assert "\n" not in str(error)
        assert name not in ("resnet50", "resnext50_32x4d", "vit_b_32")
        return
    assert network(torch.rand(2, *shape)).shape == (2, k * 10)
    assert operations(network, shape) <= (1.05 if "resne" in name else 1.5) * operations(make(shape, 10), shape)


class Average(nn.Module):
    """Anybody's residual network, with an average of any form before its last layer."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int, average: str = "mean") -> None:
        super().__init__()
        self.stem = nn.Conv2d(input_shape[0], 8, 3, 1, 1)
        self.second = nn.Conv2d(8, 16, 3, 2, 1)
        self.third = nn.Conv2d(16, 16, 3, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1) if average == "module" else nn.Identity()
        self.average = average
        self.fc = nn.Linear(16, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.second(torch.relu(self.stem(x))))
        maps = self.pool(maps + torch.relu(self.third(maps)).repeat_interleave(2, 2).repeat_interleave(2, 3)[
            :, :, : maps.shape[2], : maps.shape[3]])  # fmt: skip
        if self.average == "function":
            maps = F.adaptive_avg_pool2d(maps, (1, 1))
        elif self.average == "window":
            maps = F.avg_pool2d(maps, tuple(maps.shape[-2:]))
        elif self.average == "mean":
            return self.fc(maps.mean(dim=[2, 3]))  # type: ignore[no-any-return]
        return self.fc(maps.view(maps.size(0), -1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("average", ["module", "function", "window", "mean"])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_network_of_somebodys_own_is_pooled_by_place_however_it_averages(average: str, k: int) -> None:
    shape = (3, 28, 28)
    make = partial(Average, average=average)
    base = make(shape, 10).eval()
    network = apart(make, k, shape).eval()
    assert isinstance(network, PooledByPlace)
    network.start_from(base, shape)
    assert operations(network, shape) <= 1.05 * operations(base, shape)
    # Where every place shows the same, far from borders, each is what the base model says of such an image.
    flat = torch.full((2, *shape), 0.5)
    with torch.inference_mode():
        outputs = network(flat).view(2, k, 10)
        assert torch.allclose(outputs[:, 0], outputs[:, k - 1], atol=0.1)
        assert torch.allclose(outputs.mean(1), base(flat), atol=0.1)


class CountsFirst(Average):
    """Likewise, and gives the averages a shape with the number of images that it was given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.second(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(maps, 1).view(x.size(0), -1))  # type: ignore[no-any-return]


class Talkative(Average):
    """Likewise, and gives more than predictions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x), x  # type: ignore[return-value]


def test_a_network_that_gives_no_tensor_is_not_pooled_by_place() -> None:
    shape = (3, 28, 28)
    with pytest.raises(ValueError, match="has no attribute 'shape'"):
        PooledByPlace(Talkative(shape, 10), Grid(4, 2, 2, (14, 14)), shape)


@pytest.mark.parametrize("k", [2, 4])
def test_a_network_that_knows_how_many_images_there_are_sees_one_place_after_the_other(k: int) -> None:
    shape = (3, 28, 28)
    network = apart(CountsFirst, k, shape)
    assert isinstance(network, Folded)
    assert network(torch.rand(2, *shape)).shape == (2, k * 10)
    assert operations(network, shape) <= 1.05 * operations(CountsFirst(shape, 10), shape)


def test_a_pixel_with_zeros_around_it_meets_the_middle_of_a_kernel_only() -> None:
    network = apart(partial(TorchvisionNetwork, name="resnet18"), 4, (1, 28, 28)).eval()
    assert any(isinstance(layer, MiddleConv2d) for layer in network.modules())
    whole = copy.deepcopy(network)
    for layer in whole.modules():
        if isinstance(layer, MiddleConv2d):
            layer.__class__ = nn.Conv2d
    images = torch.rand(3, 1, 28, 28)
    with torch.inference_mode():
        assert torch.allclose(network(images), whole(images), atol=1e-4)
    assert operations(network, (1, 28, 28)) < operations(whole, (1, 28, 28))


@pytest.mark.parametrize("make", [
    partial(VisionTransformer, width=16, depth=2, patch=7),
    partial(TorchvisionNetwork, name="vit_b_32", image_size=64),
], ids=["ours", "torchvision's"])  # fmt: skip
@pytest.mark.parametrize("k", [2, 4])
def test_places_of_a_transformer_start_as_the_base_model_sees_a_small_image(
    make: Callable[..., nn.Module], k: int
) -> None:
    torch.manual_seed(0)
    shape = (1, 28, 28) if make.func is VisionTransformer else (1, 64, 64)  # type: ignore[attr-defined]
    base, network = make(shape, 10).eval(), apart(make, k, shape).eval()
    assert isinstance(network, PatchesByPlace)
    for weight in base.parameters():  # torchvision's head starts at zero
        nn.init.normal_(weight, std=0.05)
    network.start_from(base, shape)
    theirs, mine = base.state_dict(), network.network.state_dict()
    assert theirs.keys() == mine.keys()
    other = [name for name, weight in theirs.items() if not torch.equal(weight, mine[name])] if k == 4 else []
    assert all("pos" in name for name in other)
    images = torch.rand(3, *shape)
    with torch.inference_mode():
        before = network(images).view(3, k, 10)
        network.places.normal_()
        after = network(images).view(3, k, 10)
    assert not torch.allclose(before, after)


def test_places_of_a_transformer_are_what_attention_masked_to_the_own_place_gives() -> None:
    k, width, shape = 4, 16, (1, 28, 28)
    network = apart(partial(VisionTransformer, patch=7, width=width, depth=2, heads=2), k, shape).eval()
    assert isinstance(network, PatchesByPlace)
    transformer = network.network
    assert isinstance(transformer, VisionTransformer)
    with torch.no_grad():
        network.places.normal_()
    images = torch.rand(3, *shape)
    each = 1 + transformer.positions.shape[1] - 1
    place_of = torch.arange(k).repeat_interleave(each)
    mask = place_of[:, None] == place_of[None]

    def masked(tokens: torch.Tensor) -> torch.Tensor:
        for layer in transformer.layers:
            count, length, _ = tokens.shape
            split = layer.queries_keys_values(layer.before(tokens)).view(count, length, 3, 2, width // 2)
            queries, keys, values = split.permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            tokens = tokens + layer.mix(attended.transpose(1, 2).reshape(count, length, width))
            tokens = tokens + layer.perceptron(tokens)
        return tokens

    with torch.no_grad():
        cells = network.grid.cut(images)
        patches = transformer.embed(cells).view(3, k, -1, width)
        cls = transformer.cls.expand(3, k, 1, width)
        tokens = torch.cat([cls, patches], 2) + transformer.positions + network.places.view(k, 1, width)
        read = masked(tokens.flatten(1, 2)).view(3, k, each, width)[:, :, 0]
        assert torch.allclose(transformer.head(transformer.norm(read)).flatten(1), network(images), atol=1e-5)


def test_a_network_that_takes_no_small_images_says_so_in_a_line() -> None:
    class Large(nn.Module):
        def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
            super().__init__()
            if input_shape[1] < 20:
                raise ValueError("needs 20 pixels")
            self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)  # type: ignore[no-any-return]

    with pytest.raises(CannotKeepPlacesApartError, match="no place of 14x14 pixels: needs 20 pixels"):
        apart(Large, 4, (1, 28, 28))
