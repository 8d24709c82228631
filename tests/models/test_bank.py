"""Several models behind one door."""

import pytest
import torch
from torch import nn

from parity_exp.models import ModelBank, Scaled, tagged


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 5), (6,)])
def test_every_query_is_answered_by_the_model_that_it_is_for(shape: tuple[int, ...]) -> None:
    size = int(torch.tensor(shape).prod())
    models = [nn.Sequential(nn.Flatten(), nn.Linear(size, 4)) for _ in range(3)]
    queries = torch.randn(5, *shape)
    asked = tagged(queries, 3)
    assert asked.shape == (15, shape[0] + 1, *shape[1:])
    outputs = ModelBank(models)(asked).unflatten(0, (5, 3))
    for number, model in enumerate(models):
        assert torch.allclose(outputs[:, number], model(queries))


def test_a_query_for_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="2 models"):
        ModelBank([nn.Linear(2, 2), nn.Linear(2, 2)])(torch.tensor([[0.0, 0.0, 7.0]]))


def test_outputs_are_multiplied() -> None:
    network = nn.Linear(3, 2)
    assert torch.allclose(Scaled(network, 4.0)(torch.eye(3)), 4 * network(torch.eye(3)))
