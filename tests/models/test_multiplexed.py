"""k queries in one pass, against a plain implementation; narrow networks of a share of the operations."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import Resize

from parity_exp.coding import TokenGrid
from parity_exp.models import MLP, VGG11, LeNet, MobileNetV2, Multiplexed, TextTransformer, multiplexing
from parity_exp.models.narrowing import narrowed
from parity_exp.models.operations import operations, operations_of
from parity_exp.models.places import places_apart
from parity_exp.models.token_places import TokensApart


class Small(nn.Module):
    """A convolution that knows nothing of its neighbours, and a global average."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(input_shape[0], 6, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, outputs)

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.pool(torch.relu(self.convolution(queries))).flatten(1))
        return outputs


def made(make: Callable[..., nn.Module], k: int, shape: tuple[int, ...]) -> Multiplexed:
    code = multiplexing(k, shape, 10)
    assert code.encoder.grid is not None
    network = places_apart(make, code.encoder.grid, shape, 10, getattr(make, "cell_settings", None))
    return Multiplexed(network, code.encoder).eval()


@pytest.mark.parametrize("k", [2, 3, 4, 8])
@pytest.mark.parametrize("make", [LeNet, MLP, Small])
def test_each_query_is_answered_as_by_the_network_on_its_shrunken_image(make: Callable[..., nn.Module], k: int) -> None:
    shape = (2, 48, 48)
    multiplexed = made(make, k, shape)
    columns = math.ceil(math.sqrt(k))
    rows = math.ceil(k / columns)
    small = Resize((shape[1] // rows, shape[2] // columns), antialias=True)
    queries = torch.randn(2 * k + 1, *shape)
    with torch.inference_mode():
        if make is Small:  # nothing of a place reaches another: pooling it by itself is the network on it alone
            network = multiplexed.network.network
            alone = Small(shape, 10).eval()
            alone.load_state_dict(network.state_dict())
            expected = alone(small(queries))
        else:
            expected = multiplexed.network.network(small(queries))
        torch.testing.assert_close(multiplexed(queries), expected, atol=1e-5, rtol=1e-4)


def test_groups_are_consecutive_queries_and_the_last_one_stands_in_for_what_lacks() -> None:
    seen: list[Tensor] = []
    multiplexed = made(LeNet, 4, (1, 32, 32))
    multiplexed.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    queries = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 32, 32)
    assert multiplexed(queries).shape == (6, 10)
    (pictures,) = seen
    corners = pictures[:, 0, [0, 0, 16, 16], [0, 16, 0, 16]]
    torch.testing.assert_close(corners, torch.tensor([[0.0, 1, 2, 3], [4, 5, 5, 5]]))


def test_serving_one_group_gives_what_the_whole_network_gives() -> None:
    shape = (1, 28, 28)
    code = multiplexing(4, shape, 10)
    multiplexed = made(LeNet, 4, shape)
    queries = torch.randn(4, *shape)
    picture = torch.zeros(shape)
    code.encode_group(list(queries), 0, picture)
    with torch.inference_mode():
        output = multiplexed.network(picture[None])[0]
        expected = multiplexed(queries)
    for place in range(4):
        answer = code.decoder.decode_group([None] * 4, [output], place)
        torch.testing.assert_close(answer, expected[place], atol=1e-5, rtol=1e-4)


def test_it_starts_from_the_base_model() -> None:
    torch.manual_seed(0)
    base, multiplexed = Small((1, 16, 16), 10), made(Small, 4, (1, 16, 16))
    multiplexed.start_from(base)
    images = F.interpolate(torch.randn(4, 1, 8, 8), scale_factor=2, mode="nearest")
    with torch.inference_mode():
        torch.testing.assert_close(multiplexed(images), base(Resize((8, 8), antialias=True)(images)))


def test_a_pass_costs_what_the_base_model_costs_and_a_query_a_part_of_it() -> None:
    shape = (1, 32, 32)
    multiplexed, base = made(Small, 4, shape), Small(shape, 10)
    assert operations_of(lambda: multiplexed(torch.zeros(4, *shape))) / 4 == pytest.approx(
        operations(base, shape) / 4, rel=0.05
    )


def test_queries_that_are_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="image queries"):
        multiplexing(2, (64,), 10)


def test_texts_are_multiplexed_by_their_tokens() -> None:
    code = multiplexing(3, (12,), 2, tokens=True)
    assert isinstance(code.encoder.grid, TokenGrid)
    network = TokensApart(TextTransformer((12,), 2, vocabulary=20, width=8, depth=1, heads=2), code.encoder.grid)
    multiplexed = Multiplexed(network, code.encoder).eval()
    texts = torch.randint(0, 20, (7, 12)).float()
    with torch.no_grad():
        whole = multiplexed(texts)
        assert whole.shape == (7, 2)
        parity = torch.empty(code.encoder.parity_shape)
        for first in (0, 3):
            code.encode_group(list(texts[first : first + 3]), 0, parity)
            outputs = network(parity[None])
            for place in range(3):
                single = code.decoder.decode_group([None] * 3, [outputs[0]], place)
                torch.testing.assert_close(single, whole[first + place])


# ---- narrow networks


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (LeNet, {"channels": (20, 20), "hidden": 1000}),
        (MLP, {"hidden": (200, 100)}),
        (VGG11, {"width": 1.0, "hidden": 512}),
        (MobileNetV2, {"width": 1.0}),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.25])
@pytest.mark.one_of_many
def test_a_narrow_network_costs_at_most_its_share_and_hardly_less(
    make: Callable[..., nn.Module], settings: dict[str, Any], share: float
) -> None:
    shape = (1, 28, 28)
    building = partial(make, input_shape=shape, outputs=10)
    whole = operations(building(**settings), shape)
    found = narrowed(building, settings, shape, share * whole)
    assert found.keys() == settings.keys() and set(make.widths) == found.keys()  # type: ignore[attr-defined]
    assert share * 0.75 < operations(building(**found), shape) / whole <= share


def test_what_is_cheap_enough_stays_as_it_is_and_what_cannot_be_is_refused() -> None:
    shape = (1, 8, 8)
    building = partial(MLP, input_shape=shape, outputs=10)
    assert narrowed(building, {"hidden": [5]}, shape, 1e9) == {"hidden": [5]}
    with pytest.raises(ValueError, match=r"narrowest network takes 148 operations a query, more than 100"):
        narrowed(building, {"hidden": [5]}, shape, 100)
