"""Decoding for training: the same as decoding everything and taking what was lost, gradients included."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from parity_exp.coding import (
    AdditionEncoder,
    Chebyshev,
    Code,
    ConcatenationEncoder,
    Decoder,
    LossPatterns,
    MLPDecoder,
    PlacesDecoder,
    ResidualDecoder,
    SubtractionDecoder,
    joint_loss_patterns,
    loss_patterns,
)

OUTPUTS, GROUPS = 5, 7
DECODERS: list[Callable[..., Decoder]] = [SubtractionDecoder, ResidualDecoder, MLPDecoder]


def losses_of(k: int, r: int) -> LossPatterns:
    return LossPatterns(*joint_loss_patterns(k, r))


@pytest.mark.parametrize(("k", "r"), [(2, 1), (4, 1), (3, 2)])
@pytest.mark.parametrize("decoder", DECODERS)
def test_what_was_lost_comes_back_as_from_decoding_everything(k: int, r: int, decoder: Callable[..., Decoder]) -> None:
    torch.manual_seed(0)
    generator = Chebyshev().matrix(k, r)
    code = Code(AdditionEncoder(k, r, (1,), generator), decoder(k, r, (OUTPUTS,), generator))
    if isinstance(code.decoder, ResidualDecoder):
        torch.nn.init.normal_(code.decoder.last.weight)
    losses = losses_of(k, r)
    predictions = torch.randn(GROUPS, k, OUTPUTS)

    def gradient_and_result(decode: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        parities = torch.randn(
            GROUPS, r, OUTPUTS + code.decoder.extra_outputs, generator=torch.Generator().manual_seed(1)
        ).requires_grad_()
        decoded = decode(parities)
        (decoded * torch.arange(decoded.numel()).view_as(decoded)).sum().backward()
        assert parities.grad is not None
        return decoded, parities.grad

    def everything(parities: Tensor) -> Tensor:
        every = code.decode_patterns(predictions, parities, losses.patterns, losses.parity_patterns)
        return every[:, losses.lost[:, 0], losses.lost[:, 1]]

    ours = gradient_and_result(lambda parities: code.decode_lost(predictions, parities, losses))
    for mine, theirs in zip(ours, gradient_and_result(everything), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_patterns_are_refused_or_not_as_the_decoder_says() -> None:
    code = Code(ConcatenationEncoder(3, 1, (1, 6, 6)), PlacesDecoder(3, 1, (OUTPUTS,)))
    predictions = torch.randn(4, 3, OUTPUTS)
    losses = LossPatterns.of_predictions(loss_patterns(3, 3), 1)
    assert torch.allclose(code.decode_lost(predictions, code.targets(predictions), losses), predictions)


def test_patterns_that_no_parity_outputs_repair_are_refused() -> None:
    code = Code(AdditionEncoder(3, 1, (1,)), SubtractionDecoder(3, 1, (OUTPUTS,)))
    losses = LossPatterns.of_predictions(loss_patterns(3, 2), 1)
    with pytest.raises(ValueError, match="more missing predictions than parity outputs"):
        code.decode_lost(torch.zeros(1, 3, OUTPUTS), torch.zeros(1, 1, OUTPUTS), losses)


def test_masks_move_with_the_patterns() -> None:
    losses = losses_of(2, 1)
    first, _ = losses.masks(3)
    assert first is losses.masks(3)[0]
    assert first.shape == (3 * len(losses), 2)
    losses.to(torch.float64)
    assert losses.masks(3)[0] is not first
