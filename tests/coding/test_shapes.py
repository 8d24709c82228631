"""Every encoder on every shape of query and every size of group; and one group at a time as whole batches."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.coding import (
    AdditionEncoder,
    Chebyshev,
    ConcatenationEncoder,
    ConvolutionalEncoder,
    Decoder,
    Encoder,
    MLPDecoder,
    MLPEncoder,
    Modulation,
    PositionCode,
    RandomSigns,
    ResidualDecoder,
    SubtractionDecoder,
)

SPECTROGRAM, PHOTO = (1, 161, 101), (3, 224, 224)
SHAPES = [SPECTROGRAM, PHOTO, (3, 50, 80), (1, 13, 31)]


def check_groups_encode_like_batches(encoder: Encoder, seed: int = 0) -> torch.Tensor:
    """Encode one group both ways; return its queries' parity queries ``(r, *parity_shape)``."""
    queries = torch.rand(1, encoder.k, *encoder.query_shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        batch = encoder.encode(queries)
    assert batch.shape == (1, encoder.r, *encoder.parity_shape)
    for row in range(encoder.r):
        # Serving uses the same memory for one group after another.
        out = torch.full(encoder.parity_shape, torch.nan)
        encoder.encode_group(list(queries[0]), row, out)
        torch.testing.assert_close(out, batch[0, row])
    return batch[0]


@pytest.mark.parametrize("r", [1, 2])
@pytest.mark.parametrize("k", range(2, 10))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_addition_takes_every_shape_and_size_of_group(shape: tuple[int, ...], k: int, r: int) -> None:
    parities = check_groups_encode_like_batches(AdditionEncoder(k, r, shape, Chebyshev().matrix(k, r)))
    assert parities.shape == (r, *shape)


@pytest.mark.parametrize("r", [1, 2])
@pytest.mark.parametrize("k", range(2, 10))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_concatenation_takes_every_shape_and_size_of_group(shape: tuple[int, ...], k: int, r: int) -> None:
    encoder = ConcatenationEncoder(k, r, shape, Chebyshev().matrix(k, r))
    for picture in check_groups_encode_like_batches(encoder):
        assert picture.shape == shape
        height, width = encoder.cell
        rows, columns = math.ceil(k / math.ceil(math.sqrt(k))), math.ceil(math.sqrt(k))
        assert (height, width) == (shape[1] // rows, shape[2] // columns)
        filled = torch.zeros(shape[1:], dtype=torch.bool)
        for place in range(k):
            top, left = place // columns * height, place % columns * width
            assert picture[:, top : top + height, left : left + width].amin() > 0, "an image in every cell"
            filled[top : top + height, left : left + width] = True
        assert (picture[:, ~filled] == 0).all(), "nothing anywhere else"


@pytest.mark.parametrize(("k", "r"), [(2, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_convolutional_encoder_takes_every_shape(shape: tuple[int, ...], k: int, r: int) -> None:
    check_groups_encode_like_batches(ConvolutionalEncoder(k, r, shape, Chebyshev().matrix(k, r), width=1))


@pytest.mark.parametrize(("k", "r"), [(2, 1), (3, 2), (9, 1)])
@pytest.mark.parametrize("shape", [(1, 13, 11), (3, 8, 12), (40,)], ids=str)
def test_the_mlp_encoder_takes_small_queries(shape: tuple[int, ...], k: int, r: int) -> None:
    check_groups_encode_like_batches(MLPEncoder(k, r, shape, Chebyshev().matrix(k, r)))


@pytest.mark.parametrize("shape", [SPECTROGRAM, PHOTO], ids=str)
def test_an_mlp_encoder_that_fits_no_memory_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"million weights.*convolutional"):
        MLPEncoder(2, 1, shape)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from([AdditionEncoder, ConcatenationEncoder]),
    k=st.integers(2, 9),
    r=st.integers(1, 3),
    shape=st.tuples(st.integers(1, 4), st.integers(3, 30), st.integers(3, 30)),
    seed=st.integers(0, 1000),
)
def test_a_group_is_encoded_like_a_batch(
    kind: type[Encoder], k: int, r: int, shape: tuple[int, ...], seed: int
) -> None:
    check_groups_encode_like_batches(kind(k, r, shape, Chebyshev().matrix(k, r)), seed)


@settings(max_examples=30, deadline=None)
@given(code=st.sampled_from([RandomSigns(), Modulation()]), k=st.integers(2, 4), r=st.integers(1, 3))
def test_a_group_with_a_position_code_is_encoded_like_a_batch(code: PositionCode, k: int, r: int) -> None:
    c = Chebyshev().matrix(k, r)
    encoder = AdditionEncoder(k, r, (3, 7, 12), c, code)
    check_groups_encode_like_batches(encoder)
    queries = torch.rand(4, k, 3, 7, 12)
    plain = AdditionEncoder(k, r, (3, 7, 12), c)
    torch.testing.assert_close(encoder.encode(queries), plain.encode(queries * code.factors(k, (3, 7, 12))))


def check_groups_decode_like_batches(decoder: Decoder, seed: int) -> None:
    """Under every pattern of losses that can be repaired, of predictions and of parity outputs."""
    k, r = decoder.k, decoder.r
    random = torch.Generator().manual_seed(seed)
    predictions = torch.randn(k, *decoder.output_shape, generator=random)
    leading = decoder.output_shape[:-1]
    parities = torch.randn(r, *leading, decoder.parity_outputs // math.prod(leading), generator=random)
    patterns = [
        (own, arrived)
        for arrived in itertools.product([True, False], repeat=r)
        for lost in range(1, k + 1)
        if decoder.repairs(lost, sum(arrived))
        for places in itertools.combinations(range(k), lost)
        for own in [[place not in places for place in range(k)]]
    ]
    available = torch.tensor([own for own, _ in patterns])
    parity_available = torch.tensor([arrived for _, arrived in patterns])
    with torch.no_grad():
        decoded = decoder.decode(
            predictions.expand(len(patterns), *predictions.shape),
            available,
            parities.expand(len(patterns), *parities.shape),
            parity_available,
        )
    assert not decoded.isnan().any()
    for (own, arrived), batch in zip(patterns, decoded, strict=True):
        seen = [value if there else None for value, there in zip(predictions, own, strict=True)]
        came = [value if there else None for value, there in zip(parities, arrived, strict=True)]
        for place in range(k):
            if not own[place]:
                group = decoder.decode_group(seen, came, place)
                torch.testing.assert_close(group, batch[place], rtol=1e-3, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    k=st.integers(2, 9),
    r=st.integers(1, 3),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    seed=st.integers(0, 1000),
)
def test_a_group_is_decoded_like_a_batch(k: int, r: int, shape: list[int], seed: int) -> None:
    r = min(r, k)
    check_groups_decode_like_batches(SubtractionDecoder(k, r, shape, Chebyshev().matrix(k, r)), seed)


@pytest.mark.parametrize(("k", "r"), [(2, 1), (4, 2), (9, 1)])
def test_a_learned_decoder_decodes_a_group_like_a_batch(k: int, r: int) -> None:
    check_groups_decode_like_batches(MLPDecoder(k, r, (4,), Chebyshev().matrix(k, r)), seed=0)


@pytest.mark.parametrize(("k", "r", "extra"), [(2, 1, 7), (4, 2, 3), (9, 1, 0)])
def test_a_residual_decoder_decodes_a_group_like_a_batch(k: int, r: int, extra: int) -> None:
    decoder = ResidualDecoder(k, r, (4,), Chebyshev().matrix(k, r), extra_outputs=extra, hidden=16)
    decoder.calibrate(3 * torch.randn(50, 4))
    torch.nn.init.normal_(decoder.last.weight)
    torch.nn.init.normal_(decoder.last.bias)
    check_groups_decode_like_batches(decoder, seed=0)
