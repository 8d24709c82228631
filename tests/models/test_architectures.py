"""Every architecture takes the shapes that data sets have, and its shapes come from the data set alone."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from parity_exp.models import MLP, VGG11, Default, FromBase, LeNet, MobileNetV2, Paper, ResNet, TorchvisionNetwork

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 16, 16), (3, 24, 40)]

ARCHITECTURES = {
    "mlp": MLP,
    "logistic": partial(MLP, hidden=()),
    "lenet": LeNet,
    "vgg11": VGG11,
    "resnet18": ResNet,
    "mobilenet_v2": partial(MobileNetV2, width=0.25),
    "torchvision": partial(TorchvisionNetwork, name="squeezenet1_1"),
}


def outputs_of(network: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(network.eval()(torch.rand(2, *shape)).shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_takes_every_shape(name: str, shape: tuple[int, ...]) -> None:
    build: Callable[..., nn.Module] = ARCHITECTURES[name]
    assert outputs_of(build(shape, 7), shape) == (2, 7)


def test_resnet152_has_the_stem_for_small_images() -> None:
    network = ResNet((3, 32, 32), 100, depth=152)
    assert network.network.conv1.kernel_size == (3, 3) and isinstance(network.network.maxpool, nn.Identity)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 151 + 4
    assert outputs_of(network, (3, 32, 32)) == (2, 100)


def test_resnet_keeps_its_own_stem_for_large_images() -> None:
    network = ResNet((1, 224, 224), 2)
    assert network.network.conv1.kernel_size == (7, 7) and network.network.conv1.in_channels == 1


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "resnet18", "regnet_y_400mf"])
def test_torchvisions_networks_are_fitted_to_the_data_set(name: str) -> None:
    assert outputs_of(TorchvisionNetwork((1, 28, 28), 10, name), (1, 28, 28)) == (2, 10)


@pytest.mark.parametrize(("name", "enlarges"), [("alexnet", True), ("inception_v3", True), ("resnet18", False)])
def test_images_too_small_for_a_network_are_enlarged(name: str, enlarges: bool) -> None:
    network = TorchvisionNetwork((3, 32, 32), 10, name)
    assert network.enlarges is enlarges
    assert outputs_of(network, (3, 32, 32)) == (2, 10)


def test_a_vision_transformer_can_be_made_for_the_images() -> None:
    network = TorchvisionNetwork((3, 32, 32), 10, "vit_b_16", image_size=32)
    assert not network.enlarges
    assert outputs_of(network, (3, 32, 32)) == (2, 10)


def test_a_network_that_torchvision_lacks_is_named_with_its_neighbours() -> None:
    with pytest.raises(ValueError, match=r"resnet19.*did you mean resnet18"):
        TorchvisionNetwork((1, 28, 28), 10, "resnet19")


def test_a_width_changes_mobilenet() -> None:
    narrow, wide = (
        sum(weights.numel() for weights in MobileNetV2((3, 32, 32), 10, width).parameters()) for width in (0.25, 1.0)
    )
    assert narrow < wide / 5


@pytest.mark.parametrize(
    ("build", "convolutions", "head"),
    [
        (LeNet, [(1, 20), (20, 20)], [16_280, 1_000, 30]),
        (VGG11, [(1, 64), (64, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 3], [7_680, 512, 30]),
    ],
)
def test_the_papers_networks_for_spectrograms(
    build: Callable[..., nn.Module], convolutions: list[tuple[int, int]], head: list[int]
) -> None:
    shape = (1, 161, 101)
    network = build(shape, 30)
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in found] == convolutions
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == head
    assert outputs_of(network, shape) == (2, 30)


def test_photographs_go_through_torchvisions_own_resnet18() -> None:
    ours, named = ResNet((3, 224, 224), 2), TorchvisionNetwork((3, 224, 224), 2, "resnet18")
    theirs = torchvision.models.resnet18(num_classes=2)
    shapes = {name: weights.shape for name, weights in theirs.state_dict().items()}
    for network in (ours, named):
        assert {name: weights.shape for name, weights in network.network.state_dict().items()} == shapes
    ours.network.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))
    assert not named.enlarges and outputs_of(named, (3, 224, 224)) == (2, 2)


def test_the_mlp_has_the_papers_layers() -> None:
    linear = [module for module in MLP((1, 28, 28), 10).modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(784, 200), (200, 100), (100, 10)]


def test_the_papers_initialisation() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(1_000, 100))
    for weights in network.parameters():
        nn.init.constant_(weights, 7)
    Paper()(network, base=network, centre=torch.zeros(100))
    convolution, normalisation, _, linear = network
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    # Xavier's uniform with ReLU's gain: bound sqrt(2) * sqrt(6 / (fan_in + fan_out)).
    bound = 2**0.5 * (6 / (9 * 3 + 9 * 64)) ** 0.5
    assert 0.95 * bound < convolution.weight.abs().max().item() <= bound
    assert (normalisation.weight == 1).all()
    assert all((module.bias == 0).all() for module in (convolution, normalisation, linear))


def test_the_papers_last_bias_starts_where_outputs_are_to_be() -> None:
    network = MLP((1, 4, 4), 4)
    centre = torch.tensor([-1.0, -1.2, 2.0, 2.2])
    Paper()(network, base=network, centre=centre)
    first, *_, last = [module.bias for module in network.modules() if isinstance(module, nn.Linear)]
    assert torch.equal(last, centre) and (first == 0).all()


def test_the_base_models_weights_as_a_start() -> None:
    base, parity = MLP((1, 4, 4), 3), MLP((1, 4, 4), 3)
    before = [weights.clone() for weights in parity.parameters()]
    Default()(parity, base, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(before, parity.parameters(), strict=True))
    FromBase()(parity, base, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(base.parameters(), parity.parameters(), strict=True))
    with torch.no_grad():
        next(parity.parameters()).add_(1)
    assert not torch.equal(next(parity.parameters()), next(base.parameters()))
