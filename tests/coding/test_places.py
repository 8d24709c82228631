"""Places apart: where queries are in a parity query, and what comes back from which outputs."""

import pytest
import torch

from parity_exp.coding import Code, ConcatenationEncoder, PlacesDecoder, SubtractionDecoder, loss_patterns


@pytest.mark.parametrize("k", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 13)])
def test_cutting_a_concatenation_gives_the_shrunken_queries_back(k: int, shape: tuple[int, int, int]) -> None:
    encoder = ConcatenationEncoder(k, 1, shape)
    prepared = torch.rand(6, k, *encoder.prepared_shape)
    assert encoder.grid is not None
    cut = encoder.grid.cut(encoder(prepared)[:, 0])
    assert torch.equal(cut, prepared.flatten(0, 1))


@pytest.mark.parametrize("r", [1, 2, 3])
def test_one_parity_output_brings_any_number_of_predictions_back(r: int) -> None:
    k = 4
    code = Code(ConcatenationEncoder(k, r, (1, 8, 8), torch.ones(r, k)), PlacesDecoder(k, r, (10,), torch.ones(r, k)))
    predictions = torch.randn(7, k, 10)
    parities = code.targets(predictions)
    assert parities.shape == (7, r, code.decoder.parity_outputs)
    assert code.decoder.most_losses == k
    for losses in range(1, k + 1):
        for arrived in range(r):
            there = torch.zeros(1, r, dtype=torch.bool)
            there[0, arrived] = True
            patterns = loss_patterns(k, losses)
            decoded = code.decode_patterns(predictions, parities, patterns, there.expand(len(patterns), -1))
            assert torch.allclose(decoded, predictions[:, None].expand_as(decoded))


def test_without_a_parity_output_nothing_comes_back_and_nothing_available_changes() -> None:
    decoder = PlacesDecoder(2, 1, (3,))
    predictions, available = torch.randn(1, 2, 3), torch.tensor([[True, False]])
    decoded = decoder.decode(predictions, available, torch.zeros(1, 1, 6), torch.zeros(1, 1, dtype=torch.bool))
    assert torch.equal(decoded[0, 0], predictions[0, 0]) and decoded[0, 1].isnan().all()
    with pytest.raises(ValueError, match="no parity output has arrived"):
        decoder.decode_group([None, None], [None], 0)


def test_outputs_of_several_parity_models_are_averaged_in_groups_as_in_batches() -> None:
    decoder = PlacesDecoder(3, 2, (4,), torch.ones(2, 3))
    parities = torch.randn(2, 12)
    for there in ([True, True], [True, False], [False, True]):
        given = [output if is_there else None for output, is_there in zip(parities, there, strict=True)]
        decoded = decoder.decode(
            torch.zeros(1, 3, 4), torch.zeros(1, 3, dtype=torch.bool), parities[None], torch.tensor([there])
        )
        for place in range(3):
            single = decoder.decode_group([None] * 3, given, place)
            assert torch.allclose(single, decoded[0, place])
            assert torch.allclose(single, parities[torch.tensor(there)].mean(0)[4 * place : 4 * place + 4])


def test_a_sum_gives_back_as_many_as_there_are_parity_outputs() -> None:
    assert [SubtractionDecoder.repairs(losses, 2) for losses in range(4)] == [True, True, True, False]
    assert SubtractionDecoder(4, 2, (10,), torch.ones(2, 4)).most_losses == 2
    assert PlacesDecoder.repairs(torch.tensor([0, 0, 3]), torch.tensor([0, 1, 0])).tolist() == [True, True, False]
