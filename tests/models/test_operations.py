"""Operations are counted by hand and by the package alike, attention included."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from parity_exp.models import MLP, VisionTransformer
from parity_exp.models.operations import operations


def of_a_transformer(tokens: int, width: int, hidden: int, depth: int) -> int:
    """Operations of a transformer's layers, by hand: four products of a token with width x width, two of a perceptron,
    and two of each token with each."""
    return 2 * depth * (tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width)


def test_a_perceptron_takes_two_operations_a_weight() -> None:
    assert operations(MLP((1, 28, 28), 10), (1, 28, 28)) == 2 * (784 * 200 + 200 * 100 + 100 * 10)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_our_transformers_attention_is_counted(device: str) -> None:
    with torch.device(device):
        network = VisionTransformer((1, 28, 28), 10, patch=7, width=32, depth=3, heads=2, mlp_ratio=2)
    ends = 2 * (16 * 49 * 32 + 32 * 10)
    assert operations(network, (1, 28, 28)) == of_a_transformer(17, 32, 64, 3) + ends


@pytest.mark.parametrize("mode", [nn.Module.eval, nn.Module.train])
def test_torchvisions_shortcut_for_evaluation_hides_nothing(mode: Callable[[nn.Module], nn.Module]) -> None:
    network = torchvision.models.VisionTransformer(32, 16, 2, 4, 64, 128, num_classes=10)
    mode(network)
    training = network.training
    ends = 2 * (4 * 3 * 256 * 64 + 64 * 10)
    assert operations(network, (3, 32, 32)) == of_a_transformer(5, 64, 128, 2) + ends
    assert network.training is training and torch.backends.mha.get_fastpath_enabled()
