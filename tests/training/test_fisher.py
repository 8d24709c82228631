"""Fisher information against derivatives one by one, and averages against their formula."""

import pytest
import torch
from torch import nn

from parity_exp.training import diagonal_fisher, fisher_average


def by_hand(network: nn.Module, queries: torch.Tensor) -> dict[str, torch.Tensor]:
    sums = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for query in queries:
        outputs = network(query[None])[0]
        for output in outputs:
            derivatives = torch.autograd.grad(output, list(network.parameters()), retain_graph=True)
            for name, derivative in zip(sums, derivatives, strict=True):
                sums[name] += derivative**2
    return {name: total / len(queries) for name, total in sums.items()}


def test_for_one_output_it_is_the_mean_square_of_the_derivative() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    queries = torch.randn(20, 4)
    found, wanted = diagonal_fisher(network, queries, seed=0), by_hand(network, queries)
    assert found.keys() == wanted.keys()
    for name, diagonal in wanted.items():
        assert torch.allclose(found[name], diagonal, rtol=1e-4, atol=1e-7)


def test_for_several_outputs_it_is_the_sum_over_them_in_the_mean_over_signs() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5))
    queries = torch.randn(8, 4)
    wanted = by_hand(network, queries)
    found = [diagonal_fisher(network, queries, seed) for seed in range(300)]
    for name, diagonal in wanted.items():
        mean = torch.stack([one[name] for one in found]).mean(0)
        assert torch.allclose(mean, diagonal, rtol=0.25, atol=0.02 * float(diagonal.max()))


def test_the_network_stays_as_it_was() -> None:
    network = nn.Linear(3, 2).train().requires_grad_(False)
    diagonal_fisher(network, torch.randn(2, 3), seed=0)
    assert network.training and network.weight.grad is None and not network.weight.requires_grad


def test_the_average_is_weighted_by_information_and_weights() -> None:
    states = [{"w": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}, {"w": torch.tensor([5.0, 4.0])}]
    states[1]["count"] = torch.tensor(9)
    diagonals = [{"w": torch.tensor([3.0, 0.0])}, {"w": torch.tensor([1.0, 0.0])}]
    average = fisher_average(states, diagonals, [1.0, 2.0])
    assert average["w"].tolist() == pytest.approx([(3 * 1 + 2 * 1 * 5) / (3 + 2), (2 + 2 * 4) / 3])
    assert int(average["count"]) == 3


def test_much_damping_makes_it_plain_and_equal_networks_stay_what_they_are() -> None:
    torch.manual_seed(0)
    networks = [nn.Linear(3, 2) for _ in range(3)]
    diagonals = [diagonal_fisher(network, torch.randn(10, 3), seed) for seed, network in enumerate(networks)]
    states = [network.state_dict() for network in networks]
    plain = torch.stack([state["weight"] for state in states]).mean(0)
    assert torch.allclose(fisher_average(states, diagonals, [1, 1, 1], damping=1e6)["weight"], plain, atol=1e-4)
    same = fisher_average([states[0]] * 3, diagonals, [1, 1, 1])
    assert all(torch.allclose(same[name], value) for name, value in states[0].items())


def test_of_linear_models_that_see_the_same_data_the_average_outputs_the_mean() -> None:
    torch.manual_seed(1)
    queries = torch.randn(50, 3)
    networks = [nn.Linear(3, 2) for _ in range(2)]
    diagonals = [diagonal_fisher(network, queries, seed=0) for network in networks]
    average = nn.Linear(3, 2)
    average.load_state_dict(fisher_average([one.state_dict() for one in networks], diagonals, [1, 1]))
    mean = (networks[0](queries) + networks[1](queries)) / 2
    assert torch.allclose(average(queries), mean, atol=1e-5)
