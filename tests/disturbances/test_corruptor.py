"""What corrupt instances give out."""

import pytest
import torch

from parity_exp.disturbances.corruptor import Corruptor
from parity_exp.disturbances.timeline import FAULTS, GARBAGE, NAN, STUCK, Fault

TRUE = torch.arange(40.0).view(4, 10)


def test_a_sound_instance_gives_out_what_its_model_says() -> None:
    assert Corruptor(0).outputs(0, TRUE) is TRUE


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("shape", [(1, 10), (3, 4), (2, 1), (2, 3, 5)])
def test_spoilt_outputs_have_the_shape_of_true_ones(kind: str, shape: tuple[int, ...]) -> None:
    true = torch.ones(shape)
    spoilt = Corruptor(0).outputs(0, true, Fault(kind))
    assert spoilt.shape == true.shape and spoilt.is_contiguous()
    assert not torch.equal(spoilt, true)


def test_garbage_is_noise_of_the_asked_size() -> None:
    true = 3 * torch.ones(2_000, 10)
    garbage = Corruptor(0).outputs(0, true, Fault(GARBAGE, 0.5))
    assert garbage.mean() == pytest.approx(0, abs=0.05)
    assert garbage.square().mean().sqrt() == pytest.approx(1.5, rel=0.02)
    assert not torch.equal(Corruptor(1).outputs(0, true, Fault(GARBAGE, 0.5)), garbage)


def test_a_stuck_instance_repeats_what_it_last_gave_out_for_the_model() -> None:
    corruptor = Corruptor(0)
    assert torch.equal(corruptor.outputs(0, TRUE, Fault(STUCK)), torch.zeros(4, 10))
    corruptor.outputs(0, TRUE)
    corruptor.outputs(1, -TRUE[:, :3])
    for _ in range(2):
        assert torch.equal(corruptor.outputs(0, 5 * TRUE[:2], Fault(STUCK)), TRUE[-1:].expand(2, 10))
    assert torch.equal(corruptor.outputs(1, TRUE[:1, :3], Fault(STUCK)), -TRUE[-1:, :3])


def test_nan_is_not_a_number() -> None:
    assert Corruptor(0).outputs(0, TRUE, Fault(NAN)).isnan().all()
