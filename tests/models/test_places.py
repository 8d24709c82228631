"""Parity models that keep places apart: of every architecture, from the base model's weights, at its cost."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from parity_exp.coding import ConcatenationEncoder, Grid
from parity_exp.models import MLP, VGG11, LeNet, MobileNetV2, ResNet, TorchvisionNetwork
from parity_exp.models.places import Folded, PooledByPlace, places_apart

ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], type]] = {
    "lenet": (LeNet, Folded),
    "vgg11": (VGG11, Folded),
    "mlp": (MLP, Folded),
    "resnet18": (partial(ResNet, depth=18), PooledByPlace),
    "mobilenet_v2": (partial(MobileNetV2, width=0.25), Folded),
    "shufflenet": (partial(TorchvisionNetwork, name="shufflenet_v2_x0_5"), Folded),
    "efficientnet": (partial(TorchvisionNetwork, name="efficientnet_b0"), Folded),
}


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
        if kind is Folded:
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


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize(("make", "side", "most"), [(ResNet, 28, 1.05), (ResNet, 32, 1.05), (LeNet, 28, 1.05)])
def test_places_apart_cost_about_what_the_base_model_costs(
    make: Callable[..., nn.Module], side: int, most: float, k: int
) -> None:
    shape = (1, side, side)
    grid = ConcatenationEncoder(k, 1, shape).grid
    assert grid is not None
    network = places_apart(make, grid, shape, 10, settings(make)).eval()
    assert flops(network, shape) <= most * flops(make(shape, 10).eval(), shape)


def flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *shape))
    return counter.get_total_flops()
