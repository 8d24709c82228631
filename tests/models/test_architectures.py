"""Every architecture takes the shapes that data sets have, and its shapes come from the data set alone."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from parity_exp.coding import AdditionEncoder, ConcatenationEncoder, Encoder, RandomSigns
from parity_exp.models import (
    MLP,
    VGG11,
    Default,
    FromBase,
    LeNet,
    MobileNetV2,
    Paper,
    ResNet,
    Split,
    TorchvisionNetwork,
    VisionTransformer,
)
from parity_exp.models.initialisation import UnlikeBaseError

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 16, 16), (3, 24, 40)]

ARCHITECTURES = {
    "mlp": MLP,
    "logistic": partial(MLP, hidden=()),
    "lenet": LeNet,
    "vgg11": VGG11,
    "resnet18": ResNet,
    "mobilenet_v2": partial(MobileNetV2, width=0.25),
    "torchvision": partial(TorchvisionNetwork, name="squeezenet1_1"),
    "vit": VisionTransformer,
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
    Paper()(network, network, AdditionEncoder(2, 1, (3, 8, 8)), 0, torch.zeros(100))
    convolution, normalisation, _, linear = network
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    # Xavier's uniform with ReLU's gain: bound sqrt(2) * sqrt(6 / (fan_in + fan_out)).
    bound = 2**0.5 * (6 / (9 * 3 + 9 * 64)) ** 0.5
    assert 0.95 * bound < convolution.weight.abs().max().item() <= bound
    assert (normalisation.weight == 1).all()
    assert all((module.bias == 0).all() for module in (convolution, normalisation, linear))


ENCODER = AdditionEncoder(2, 1, (1, 4, 4))


def test_the_papers_last_bias_starts_where_outputs_are_to_be() -> None:
    network = MLP((1, 4, 4), 4)
    centre = torch.tensor([-1.0, -1.2, 2.0, 2.2])
    Paper()(network, network, ENCODER, 0, centre)
    first, *_, last = [module.bias for module in network.modules() if isinstance(module, nn.Linear)]
    assert torch.equal(last, centre) and (first == 0).all()


def test_the_base_models_weights_as_a_start() -> None:
    base, parity = MLP((1, 4, 4), 3), MLP((1, 4, 4), 3)
    before = [weights.clone() for weights in parity.parameters()]
    Default()(parity, base, ENCODER, 0, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(before, parity.parameters(), strict=True))
    FromBase()(parity, base, ENCODER, 0, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(base.parameters(), parity.parameters(), strict=True))
    with torch.no_grad():
        next(parity.parameters()).add_(1)
    assert not torch.equal(next(parity.parameters()), next(base.parameters()))


def test_extra_outputs_keep_their_own_start() -> None:
    base, parity = MLP((1, 4, 4), 3), MLP((1, 4, 4), 5)
    last = [module for module in parity.modules() if isinstance(module, nn.Linear)][-1]
    before = last.weight[3:].clone()
    FromBase()(parity, base, ENCODER, 0, torch.zeros(3))
    queries = torch.rand(6, 1, 4, 4)
    torch.testing.assert_close(parity(queries)[:, :3], base(queries))
    assert torch.equal(last.weight[3:], before)
    Paper()(parity, base, ENCODER, 0, torch.ones(3))
    assert last.bias.tolist() == [1, 1, 1, 0, 0]


def test_the_base_models_weights_must_fit() -> None:
    with pytest.raises(UnlikeBaseError, match="choose another initialisation"):
        FromBase()(MLP((1, 4, 4), 3, hidden=(7,)), MLP((1, 4, 4), 3, hidden=(8,)), ENCODER, 0, torch.zeros(3))


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("kind", [AdditionEncoder, ConcatenationEncoder])
def test_split_units_answer_to_the_query_at_their_place(kind: type[Encoder], k: int) -> None:
    shape = (1, 8, 8)
    encoder = kind(k, 1, shape, position_code=RandomSigns()) if kind is AdditionEncoder else kind(k, 1, shape)
    torch.manual_seed(0)
    base, parity = MLP(shape, 3, hidden=(40, 20)), MLP(shape, 3, hidden=(40, 20))
    smooth = torch.tensor([[-1.0], [1.0]]) * torch.linspace(0, 1, 8)
    patterns = torch.cat([smooth, 1 - smooth])[torch.randint(4, (40, 2))]
    with torch.no_grad():  # units that look at smooth patterns lose little where images shrink
        base.layers[1].weight.copy_((patterns[:, 0, :, None] * patterns[:, 1, None, :]).flatten(1))
    Split()(parity, base, encoder, 0, torch.zeros(3))
    queries = torch.rand(30, 1, 2, 2)
    queries = nn.functional.interpolate(queries, size=(8, 8), mode="bilinear")
    want = base.layers[1](queries.flatten(1)) - base.layers[1].bias
    for place in range(k):
        group = torch.zeros(30, k, *shape)
        group[:, place] = queries
        got = (parity.layers[1](encoder.encode(group).flatten(1)) - parity.layers[1].bias) / k**0.5
        mine = torch.arange(40) % k == place
        assert (got[:, mine] - want[:, mine]).norm() < 0.1 * want[:, mine].norm()
        if kind is ConcatenationEncoder:
            assert got[:, ~mine].abs().max() < 1e-4, "no answer to the other cells"
    second = parity.layers[3].weight
    same_place = torch.arange(20)[:, None] % k == torch.arange(40) % k
    assert (second[~same_place] == 0).all()
    torch.testing.assert_close(second[same_place], k**0.5 * base.layers[3].weight[same_place])


def test_another_architecture_keeps_its_own_start() -> None:
    parity = MLP((1, 4, 4), 3, hidden=(7,))
    before = [weights.clone() for weights in parity.parameters()]
    Split()(parity, MLP((1, 4, 4), 3), ENCODER, 0, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(before, parity.parameters(), strict=True))


def test_networks_with_other_layers_start_from_the_base_model_unsplit() -> None:
    base, parity = LeNet((1, 16, 16), 3, hidden=9), LeNet((1, 16, 16), 3, hidden=9)
    Split()(parity, base, AdditionEncoder(2, 1, (1, 16, 16)), 0, torch.zeros(3))
    assert all(torch.equal(a, b) for a, b in zip(base.parameters(), parity.parameters(), strict=True))


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_width_changes_every_layer_of_a_resnet(depth: int) -> None:
    usual, narrow = ResNet((1, 28, 28), 10, depth), ResNet((1, 28, 28), 10, depth, width=16)  # type: ignore[arg-type]
    theirs, mine = usual.state_dict(), narrow.state_dict()
    assert theirs.keys() == mine.keys()
    for name, weight in theirs.items():
        if name.endswith(("conv2.weight", "bn1.weight")):
            assert [size // 4 for size in weight.shape[:2]] == list(mine[name].shape[:2])
    assert outputs_of(narrow, (1, 28, 28)) == (2, 10)
    wide = torchvision.models.get_model(f"resnet{depth}", num_classes=10)
    large = ResNet((3, 64, 64), 10, depth, width=64)  # type: ignore[arg-type]
    assert {n: w.shape for n, w in large.network.state_dict().items()} == {
        n: w.shape for n, w in wide.state_dict().items()
    }
