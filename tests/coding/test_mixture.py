"""A mixture of places apart with what the available predictions tell."""

import pytest
import torch
from torch import nn

from parity_exp.coding import Chebyshev, MixtureDecoder, PlacesDecoder, SubtractionDecoder, joint_loss_patterns
from tests.coding.test_shapes import check_groups_decode_like_batches

K, OUTPUTS = 3, 4


def everything_arrived(decoder: MixtureDecoder, lost: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predictions, what of them is available, and a parity output that is a little wrong at every place."""
    predictions = torch.randn(5, K, OUTPUTS)
    available = torch.ones(5, K, dtype=torch.bool)
    available[:, lost] = False
    return predictions, available, decoder.targets(predictions) + 0.1 * torch.randn(5, 1, K * OUTPUTS)


@pytest.mark.parametrize("lost", [[0], [1, 2], [0, 1, 2]])
def test_it_starts_as_places_apart(lost: list[int]) -> None:
    mixture, places = MixtureDecoder(K, 1, (OUTPUTS,)), PlacesDecoder(K, 1, (OUTPUTS,))
    predictions, available, parities = everything_arrived(mixture, lost)
    there = torch.ones(5, 1, dtype=torch.bool)
    mixed = mixture.decode(predictions, available, parities, there)
    torch.testing.assert_close(mixed, places.decode(predictions, available, parities, there))


def test_with_all_the_weight_it_is_the_sum_of_all_places_less_the_available_predictions() -> None:
    mixture, sums = MixtureDecoder(K, 1, (OUTPUTS,), weight=1.0), SubtractionDecoder(K, 1, (OUTPUTS,))
    predictions, available, parities = everything_arrived(mixture, [1])
    there = torch.ones(5, 1, dtype=torch.bool)
    of_all = parities.view(5, 1, K, OUTPUTS).sum(2)
    mixed = mixture.decode(predictions, available, parities, there)
    torch.testing.assert_close(mixed, sums.decode(predictions, available, of_all, there))


def test_the_weight_is_learned_unless_it_is_given() -> None:
    assert "linear.weight" in dict(MixtureDecoder(K, 1, (OUTPUTS,)).named_parameters())
    given = MixtureDecoder(K, 1, (OUTPUTS,), weight=0.5)
    assert "linear.weight" not in dict(given.named_parameters())
    assert given.state_dict()["linear.weight"] == 0.5


@pytest.mark.parametrize(("k", "r"), [(2, 1), (4, 2)])
def test_a_group_is_decoded_like_a_batch(k: int, r: int) -> None:
    decoder = MixtureDecoder(k, r, (OUTPUTS,), Chebyshev().matrix(k, r), weight=0.3, hidden=16)
    decoder.calibrate(3 * torch.randn(50, OUTPUTS))
    nn.init.normal_(decoder.last.weight)
    check_groups_decode_like_batches(decoder, seed=0)


def test_one_parity_output_brings_any_number_back_and_all_of_that_is_learned() -> None:
    decoder = MixtureDecoder(4, 2, (OUTPUTS,), torch.ones(2, 4))
    assert decoder.most_losses == 4
    patterns, parities = joint_loss_patterns(4, 2, most=decoder.most_losses, repairs=decoder.repairs)
    lost = (~patterns).sum(1)
    assert set(lost.tolist()) == {1, 2, 3, 4} and parities.sum(1).min() == 1
    assert len({(*a, *b) for a, b in zip(patterns.tolist(), parities.tolist(), strict=True)}) == 15 * 3


def test_predictions_that_are_no_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="vectors"):
        MixtureDecoder(2, 1, (2, 2))
