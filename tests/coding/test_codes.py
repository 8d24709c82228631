import pytest
import torch
import torchvision.transforms.v2.functional as images
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_exp.coding import (
    AdditionEncoder,
    Cauchy,
    Chebyshev,
    Code,
    ConcatenationEncoder,
    ConvolutionalEncoder,
    Encoder,
    MLPDecoder,
    MLPEncoder,
    Modulation,
    RandomSigns,
    ResidualDecoder,
    SubtractionDecoder,
    Vandermonde,
    all_loss_patterns,
    joint_loss_patterns,
    loss_patterns,
    worst_condition_number,
)


@settings(max_examples=15, deadline=None)
@given(k=st.integers(2, 8), r=st.integers(1, 4), seed=st.integers(0, 1000))
def test_up_to_r_lost_predictions_come_back(k: int, r: int, seed: int) -> None:
    r = min(r, k)
    decoder = SubtractionDecoder(k, r, (5,), Chebyshev().matrix(k, r))
    predictions = torch.randn(3, k, 5, generator=torch.Generator().manual_seed(seed))
    parities = decoder.targets(predictions)
    patterns = all_loss_patterns(k, r)
    for pattern in patterns:
        available = pattern.expand(3, k)
        seen = torch.where(available[..., None], predictions, torch.nan)
        decoded = decoder.decode(seen, available, parities, torch.ones(3, r, dtype=torch.bool))
        torch.testing.assert_close(decoded, predictions, rtol=1e-2, atol=1e-2)
        assert torch.equal(decoded[available], predictions[available])


def test_any_parities_that_arrived_are_enough() -> None:
    decoder = SubtractionDecoder(4, 3, (2,), Chebyshev().matrix(4, 3))
    predictions = torch.randn(1, 4, 2)
    parities = decoder.targets(predictions)
    available = torch.tensor([[True, False, True, False]])
    for missing in range(3):
        arrived = torch.ones(1, 3, dtype=torch.bool)
        arrived[0, missing] = False
        seen = torch.where(arrived[..., None], parities, torch.nan)
        torch.testing.assert_close(
            decoder.decode(predictions, available, seen, arrived), predictions, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("r", [1, 2])
def test_a_group_beyond_repair_is_nan_and_spoils_no_other(r: int) -> None:
    decoder = SubtractionDecoder(3, r, (2,), Chebyshev().matrix(3, r))
    predictions = torch.randn(2, 3, 2)
    available = torch.tensor([[False, False, False], [False, True, True]])
    decoded = decoder.decode(predictions, available, decoder.targets(predictions), torch.ones(2, r, dtype=torch.bool))
    assert decoded[0].isnan().all()
    torch.testing.assert_close(decoded[1], predictions[1], rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_parity_outputs() -> None:
    decoder = SubtractionDecoder(3, 2, (2,), Chebyshev().matrix(3, 2))
    parities = torch.randn(1, 2, 2, requires_grad=True)
    code = Code(AdditionEncoder(3, 2, (4,), Chebyshev().matrix(3, 2)), decoder)
    code.decode_patterns(torch.randn(1, 3, 2), parities, loss_patterns(3, 2)).sum().backward()
    assert parities.grad is not None and parities.grad.abs().sum() > 0


def test_the_mlp_decoder_leaves_available_predictions_alone() -> None:
    decoder = MLPDecoder(3, 1, (4,))
    predictions = torch.randn(5, 3, 4)
    available = torch.tensor([True, False, True]).expand(5, 3)
    decoded = decoder.decode(predictions, available, torch.randn(5, 1, 4), torch.ones(5, 1, dtype=torch.bool))
    assert torch.equal(decoded[:, 0], predictions[:, 0]) and not torch.equal(decoded[:, 1], predictions[:, 1])


def test_a_residual_decoder_starts_as_subtraction() -> None:
    c = Chebyshev().matrix(3, 2)
    residual, plain = ResidualDecoder(3, 2, (4,), c, extra_outputs=5), SubtractionDecoder(3, 2, (4,), c)
    residual.calibrate(torch.randn(9, 4))
    predictions = torch.randn(6, 3, 4)
    parities = torch.cat([plain.targets(predictions), torch.randn(6, 2, 5)], dim=-1)
    for available, arrived in zip(*joint_loss_patterns(3, 2), strict=True):
        masks = available.expand(6, 3), arrived.expand(6, 2)
        decoded = residual.decode(predictions, masks[0], parities, masks[1])
        torch.testing.assert_close(decoded, plain.decode(predictions, masks[0], parities[..., :4], masks[1]))


def test_a_residual_decoder_does_not_look_at_what_is_missing() -> None:
    decoder = ResidualDecoder(3, 2, (4,), Chebyshev().matrix(3, 2), extra_outputs=5)
    torch.nn.init.normal_(decoder.last.weight)
    predictions, parities = torch.randn(1, 3, 4), torch.randn(1, 2, 9)
    available, arrived = torch.tensor([[True, False, True]]), torch.tensor([[False, True]])
    one = decoder.decode(predictions, available, parities, arrived)
    predictions[0, 1], parities[0, 0] = torch.nan, torch.nan
    assert torch.equal(decoder.decode(predictions, available, parities, arrived), one)


@pytest.mark.parametrize(
    ("shape", "settings", "complaint"),
    [((2, 2), {}, "vectors"), ((4,), {"extra_outputs": -1}, "extra_outputs=-1"), ((4,), {"hidden": 0}, "hidden=0")],
)
def test_a_residual_decoder_that_cannot_be_is_refused(
    shape: tuple[int, ...], settings: dict[str, int], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        ResidualDecoder(2, 1, shape, **settings)


def test_joint_patterns_are_all_that_can_be_decoded() -> None:
    patterns, parity_patterns = joint_loss_patterns(4, 2)
    pairs = {(tuple(a.tolist()), tuple(b.tolist())) for a, b in zip(patterns, parity_patterns, strict=True)}
    assert len(pairs) == len(patterns) == 4 * 3 + 6 * 1
    assert all(1 <= 4 - sum(own) <= sum(arrived) for own, arrived in pairs)


def test_random_signs_are_the_same_every_time_and_differ_between_places() -> None:
    signs = RandomSigns(seed=3).factors(4, (3, 10, 10))
    assert torch.equal(signs, RandomSigns(seed=3).factors(4, (3, 10, 10)))
    assert (signs[0] == 1).all() and set(signs.unique().tolist()) == {-1, 1}
    correlations = (signs.flatten(1) @ signs.flatten(1).T / 300 - torch.eye(4))[1:].abs()
    assert correlations.max() < 0.25


def test_modulation_moves_images_to_other_bands() -> None:
    bands = Modulation().factors(4, (1, 8, 8))
    spectrum = torch.fft.fft2(bands[:, 0]).abs()
    peaks = [tuple(divmod(int(band.argmax()), 8)) for band in spectrum]
    assert peaks == [(0, 0), (0, 4), (4, 0), (4, 4)]
    with pytest.raises(ValueError, match="k=5"):
        Modulation().factors(5, (1, 8, 8))
    with pytest.raises(ValueError, match="image"):
        Modulation().factors(2, (40,))


@pytest.mark.parametrize("encoder", [AdditionEncoder, ConcatenationEncoder, ConvolutionalEncoder, MLPEncoder])
@pytest.mark.parametrize("k", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 13, 17)])
def test_parity_queries_have_the_announced_shape(encoder: type[Encoder], k: int, shape: tuple[int, ...]) -> None:
    built = encoder(k, 2, shape, Chebyshev().matrix(k, 2))
    assert built.encode(torch.rand(2, k, *shape)).shape == (2, 2, *built.parity_shape)


def test_addition_is_the_generators_weighted_sum() -> None:
    c = Chebyshev().matrix(3, 2)
    queries = torch.rand(4, 3, 1, 5, 5)
    expected = torch.stack([sum(c[j, i] * queries[:, i] for i in range(3)) for j in range(2)], dim=1)  # type: ignore[misc]
    torch.testing.assert_close(AdditionEncoder(3, 2, (1, 5, 5), c).encode(queries), expected)


def test_two_images_stand_side_by_side_and_four_in_quadrants() -> None:
    queries = torch.rand(2, 4, 3, 8, 8)
    left, right = (images.resize(queries[:, i], [8, 4], antialias=True) for i in range(2))
    pair = ConcatenationEncoder(2, 1, (3, 8, 8)).encode(queries[:, :2])
    torch.testing.assert_close(pair[:, 0], torch.cat([left, right], dim=-1))
    small = [images.resize(queries[:, i], [4, 4], antialias=True) for i in range(4)]
    quadrants = torch.cat([torch.cat(small[:2], dim=-1), torch.cat(small[2:], dim=-1)], dim=-2)
    torch.testing.assert_close(ConcatenationEncoder(4, 1, (3, 8, 8)).encode(queries)[:, 0], quadrants)


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 7, 12), (1, 161, 101)], ids=str)
@pytest.mark.parametrize(("k", "rows", "columns"), [(2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (6, 2, 3), (7, 3, 3)])
def test_every_query_has_a_cell_of_the_smallest_grid(
    k: int, rows: int, columns: int, shape: tuple[int, int, int]
) -> None:
    queries = torch.rand(2, k, *shape)
    channels, height, width = shape
    cell = [height // rows, width // columns]
    expected = torch.zeros(2, channels, height, width)
    for place in range(k):
        top, left = place // columns * cell[0], place % columns * cell[1]
        small = images.resize(queries[:, place], cell, antialias=True)
        expected[:, :, top : top + cell[0], left : left + cell[1]] = small
    encoded = ConcatenationEncoder(k, 1, shape).encode(queries)
    torch.testing.assert_close(encoded[:, 0], expected)


def test_decoding_has_no_loop_over_groups_or_patterns() -> None:
    decoder = SubtractionDecoder(4, 2, (3,), Chebyshev().matrix(4, 2))

    def operations(groups: int) -> int:
        predictions = torch.randn(groups, 4, 3)
        available = all_loss_patterns(4, 2).repeat(groups, 1)[:groups]
        parities, all_there = decoder.targets(predictions), torch.ones(groups, 2, dtype=torch.bool)
        with torch.profiler.profile() as profile:
            decoder.decode(predictions, available, parities, all_there)
        return sum(event.count for event in profile.key_averages() if event.key.startswith("aten::"))

    operations(3)  # the first profile also sees what is set up once
    assert operations(300) == operations(3)


def test_cells_without_a_query_stay_zero() -> None:
    picture = ConcatenationEncoder(3, 1, (1, 9, 9)).encode(torch.ones(1, 3, 1, 9, 9))[0, 0, 0]
    assert picture[:8, :8].sum() == 48 and picture[8].sum() == 0 and picture[4:, 4:].sum() == 0


def test_images_too_small_for_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        ConcatenationEncoder(9, 1, (1, 2, 2))
    with pytest.raises(ValueError, match="image"):
        ConcatenationEncoder(2, 1, (10,))


def test_more_parities_need_a_generator_and_parts_must_agree() -> None:
    with pytest.raises(ValueError, match="generator"):
        AdditionEncoder(2, 2, (1, 4, 4))
    with pytest.raises(ValueError, match="k=3"):
        Code(AdditionEncoder(2, 1, (1, 4, 4)), SubtractionDecoder(3, 1, (2,)))


@pytest.mark.parametrize("r", [1, 2, 3, 4])
@pytest.mark.parametrize("k", range(2, 9))
def test_the_default_generator_is_well_conditioned(k: int, r: int) -> None:
    matrix = Chebyshev().matrix(k, r)
    assert (matrix[0] == 1).all()
    assert worst_condition_number(matrix) < 600


def test_the_textbook_generators_are_worse() -> None:
    ours = worst_condition_number(Chebyshev().matrix(8, 4))
    assert worst_condition_number(Vandermonde().matrix(8, 4)) > 100 * ours
    assert worst_condition_number(Cauchy().matrix(8, 4)) > 10 * ours


def test_loss_patterns_are_all_or_a_sample() -> None:
    assert len(loss_patterns(5, 2)) == 10
    assert len(loss_patterns(5, 2).unique(dim=0)) == 10
    sample = loss_patterns(40, 5, limit=100)
    assert sample.shape == (100, 40) and ((~sample).sum(1) == 5).all()
    with pytest.raises(ValueError, match="losses=6"):
        loss_patterns(5, 6)
