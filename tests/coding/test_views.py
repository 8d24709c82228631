"""With several parity queries, a concatenation can show the group in several views."""

import pytest
import torch
import torch.nn.functional as F

from parity_exp.coding import ConcatenationEncoder, SideBySideEncoder
from parity_exp.coding.views import Views

ALL: list[Views] = ["same", "mirrored", "shifted"]


def encoder(views: Views, k: int = 4, r: int = 2, shape: tuple[int, int, int] = (1, 8, 8)) -> ConcatenationEncoder:
    return ConcatenationEncoder(k, r, shape, torch.ones(r, k), views=views)


@pytest.mark.parametrize("views", ALL)
@pytest.mark.parametrize(("k", "r", "shape"), [(4, 2, (1, 28, 28)), (3, 3, (3, 17, 13)), (5, 1, (2, 16, 16))])
def test_a_group_is_encoded_like_a_batch(views: Views, k: int, r: int, shape: tuple[int, int, int]) -> None:
    made = encoder(views, k, r, shape)
    queries, out = torch.rand(3, k, *shape), torch.full(shape, torch.nan)
    encoded = made.encode(queries)
    assert encoded.shape == (3, r, *shape)
    for group, parities in zip(queries, encoded, strict=True):
        for row in range(r):
            made.encode_group(list(group), row, out)
            torch.testing.assert_close(out, parities[row])


@pytest.mark.parametrize("views", ALL)
def test_the_first_parity_query_is_the_same_whatever_the_others_are(views: Views) -> None:
    queries = torch.rand(5, 4, 1, 8, 8)
    assert torch.equal(encoder(views).encode(queries)[:, 0], encoder("same").encode(queries)[:, 0])
    assert torch.equal(encoder(views, r=1).encode(queries), encoder("same", r=1).encode(queries))


def test_mirrored_views_change_left_and_right_then_up_and_down_within_each_place() -> None:
    made, queries = encoder("mirrored", r=4), torch.rand(5, 4, 1, 8, 8)
    cells = [made.grid.cut(made.encode(queries)[:, row]) for row in range(4)]
    assert torch.equal(cells[1], cells[0].flip(-1))
    assert torch.equal(cells[2], cells[0].flip(-2))
    assert torch.equal(cells[3], cells[0].flip(-2, -1))


def test_shifted_views_are_those_of_moved_images() -> None:
    made, queries = encoder("shifted"), torch.rand(5, 4, 1, 8, 8)
    seen = made.grid.cut(made.encode(queries)[:, 1])
    moved = F.pad(queries.flatten(0, 1)[:, :, 1:, 1:], (0, 1, 0, 1), mode="replicate")
    torch.testing.assert_close(seen, F.interpolate(moved, size=(4, 4), mode="bilinear", antialias=True))


def test_texts_have_one_view() -> None:
    with pytest.raises(ValueError, match="views=mirrored: a text"):
        SideBySideEncoder(2, 1, (8,), views="mirrored")
