"""Wrong outputs of a group are noticed, and told from the others as far as the code's distance goes."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from parity_exp.coding import Chebyshev, Decoder, MLPDecoder, PlacesDecoder, SubtractionDecoder
from parity_exp.coding.consistency import Consistency, correctable
from parity_exp.tasks import Classification, Localization

CLASSES = 10
TASK = Classification([str(number) for number in range(CLASSES)])
NOISE = 0.05


def outputs(decoder: Decoder, groups: int, seed: int) -> tuple[Tensor, Tensor]:
    """Own predictions of random groups, and outputs of parity models that are nearly right."""
    random = torch.Generator().manual_seed(seed)
    predictions = 5 * torch.randn(groups, decoder.k, *decoder.output_shape, generator=random)
    targets = decoder.targets(predictions)
    return predictions, targets + NOISE * torch.randn(targets.shape, generator=random)


def linear(k: int, r: int) -> SubtractionDecoder:
    return SubtractionDecoder(k, r, (CLASSES,), Chebyshev().matrix(k, r))


def consistency(decoder: Decoder, rate: float = 0.01) -> Consistency:
    return Consistency(decoder, TASK.differences, *outputs(decoder, 2_000, seed=0), rate)


CODES = {(k, r): consistency(linear(k, r)) for k, r in [(2, 1), (4, 1), (2, 2), (3, 2), (3, 3), (3, 4)]}


def spoil(group: tuple[Tensor, Tensor], places: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Own predictions ``(k, out)`` and parity outputs ``(r, out)`` with noise at some places."""
    predictions, parities = (part.clone() for part in group)
    random = torch.Generator().manual_seed(seed)
    for place in places:
        part, row = (predictions, place) if place < len(predictions) else (parities, place - len(predictions))
        part[row] = 5 * torch.randn(part[row].shape, generator=random)
    return predictions, parities


@given(st.sampled_from(list(CODES)), st.integers(1, 10_000), st.data())
def test_up_to_r_wrong_outputs_are_noticed_and_half_as_many_are_found(
    code: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    k, r = code
    predictions, parities = outputs(CODES[code].decoder, 1, seed)
    size = data.draw(st.integers(1, r))
    places = tuple(sorted(data.draw(st.permutations(range(k + r)))[:size]))
    wrong = CODES[code].wrong(*spoil((predictions[0], parities[0]), places, seed))
    assert wrong is not None
    if size <= r // 2 and not set(range(k)) <= set(places):
        assert wrong == places


@pytest.mark.parametrize(("k", "r"), [(2, 2), (3, 2), (2, 4)])
def test_with_places_apart_half_as_many_as_there_are_parity_outputs_are_found(k: int, r: int) -> None:
    decoder = PlacesDecoder(k, r, (CLASSES,), torch.ones(r, k))
    compared = consistency(decoder)
    predictions, parities = outputs(decoder, 1, seed=3)
    group = predictions[0], parities[0]
    assert compared.wrong(*group) is None
    for places in correctable(k, r):
        assert compared.wrong(*spoil(group, places, seed=4)) == places


@pytest.mark.parametrize("code", CODES)
def test_sound_groups_are_taken_for_wrong_as_often_as_wanted(code: tuple[int, int]) -> None:
    groups = 1_500
    predictions, parities = outputs(CODES[code].decoder, groups, seed=1)
    alarms = [CODES[code].wrong(*group) is not None for group in zip(predictions, parities, strict=True)]
    assert sum(alarms) / groups == pytest.approx(0.01, abs=0.009)


@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.one_of_many
def test_the_rate_moves_the_limits(rate: float) -> None:
    decoder = linear(2, 1)
    predictions, parities = outputs(decoder, 2_000, seed=2)
    checked = consistency(decoder, rate)
    alarms = [checked.wrong(*group) is not None for group in zip(predictions, parities, strict=True)]
    assert sum(alarms) / len(alarms) == pytest.approx(rate, rel=0.6)


def test_one_parity_output_does_not_tell_which_is_wrong() -> None:
    predictions, parities = outputs(CODES[2, 1].decoder, 1, seed=3)
    for place in range(3):
        assert CODES[2, 1].wrong(*spoil((predictions[0], parities[0]), (place,), 0)) == ()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 0.0])
@pytest.mark.parametrize("place", range(4))
def test_outputs_that_are_no_numbers_are_found(value: float, place: int) -> None:
    predictions, parities = (part[0] for part in outputs(CODES[2, 2].decoder, 1, seed=4))
    (predictions if place < 2 else parities)[place % 2] = value
    assert CODES[2, 2].wrong(predictions, parities) == (place,)


@pytest.mark.parametrize("erased", [(), (0,), (2,)])
def test_one_group_and_many_are_measured_alike(erased: tuple[int, ...]) -> None:
    for decoder in (linear(2, 2), MLPDecoder(2, 2, (CLASSES,), Chebyshev().matrix(2, 2)).eval()):
        checked = consistency(decoder)
        predictions, parities = outputs(decoder, 20, seed=5)
        with torch.inference_mode():
            many = (checked.disagreement(predictions, parities, erased) / checked._limits[erased]).amax(1)
            single = [checked._excess(*group, erased) for group in zip(predictions, parities, strict=True)]
        assert single == pytest.approx(many.tolist(), rel=1e-3)


def test_boxes_are_checked_too() -> None:
    decoder = SubtractionDecoder(2, 2, (4,), Chebyshev().matrix(2, 2))
    checked = Consistency(decoder, Localization().differences, *outputs(decoder, 1_000, seed=0), 0.01)
    predictions, parities = (part[0] for part in outputs(decoder, 1, seed=6))
    assert checked.wrong(predictions, parities) is None
    assert checked.wrong(*spoil((predictions, parities), (1,), 0)) == (1,)


@pytest.mark.parametrize(("k", "r", "sets"), [(2, 1, 0), (2, 2, 4), (4, 3, 7), (4, 4, 8 + 28)])
def test_half_as_many_wrong_outputs_as_parity_outputs_are_told_apart(k: int, r: int, sets: int) -> None:
    assert len(correctable(k, r)) == sets
    assert correctable(2, 4) == [
        *((i,) for i in range(6)),
        *(two for two in combinations(range(6), 2) if two != (0, 1)),
    ]
