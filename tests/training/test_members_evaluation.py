"""What is measured of codes over models, against counting by hand."""

import torch
from torch import nn

from parity_exp.coding import FisherAveraging
from parity_exp.data import Samples
from parity_exp.tasks import Classification
from parity_exp.training import MembersEvaluator

TASK = Classification(("a", "b", "c"))
CPU = torch.device("cpu")


def evaluator() -> tuple[MembersEvaluator, Samples, list[nn.Module], nn.Module]:
    torch.manual_seed(0)
    networks: list[nn.Module] = [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3)]
    average = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    samples = Samples(torch.randn(41, 1, 2, 2), torch.randint(0, 3, (41,)))
    return (
        MembersEvaluator(FisherAveraging(3, 1, (1, 2, 2), (3,)), networks, [average], CPU),
        samples,
        networks,
        average,
    )


def test_accuracies_are_means_over_samples_and_models() -> None:
    measures, samples, networks, average = evaluator()
    own = torch.stack([network(samples.inputs) for network in networks], dim=1)
    rebuilt = average(samples.inputs)[:, None] - (own.sum(1, keepdim=True) - own)
    evaluation = measures.evaluate(samples, torch.zeros(41, 3), TASK, [0.5], seed=0)
    right = (own.argmax(2) == samples.labels[:, None]).float().mean()
    degraded = (rebuilt.argmax(2) == samples.labels[:, None]).float().mean()
    again = (rebuilt.argmax(2) == own.argmax(2)).float().mean()
    metrics = evaluation.metrics
    assert abs(metrics["available_accuracy"] - right) < 1e-6
    assert abs(metrics["degraded_accuracy"] - degraded) < 1e-6
    assert abs(metrics["reconstruction_accuracy"] - again) < 1e-6
    assert evaluation.per_class["samples"].sum() == 3 * 41


def test_outputs_of_groups_and_examples_are_of_one_sample_each() -> None:
    measures, samples, networks, average = evaluator()
    groups = torch.tensor([[4, 1, 2], [7, 0, 3]])
    own, parities = measures.outputs(samples, torch.zeros(41, 3), groups)
    assert torch.allclose(own[:, 1], networks[1](samples.inputs[[4, 7]]))
    assert torch.allclose(parities[:, 0], average(samples.inputs[[4, 7]]))
    examples = measures.examples(samples, torch.zeros(41, 3), seed=0, count=2)
    assert examples.queries.shape == (2, 3, 1, 2, 2) and examples.parity_queries.shape == (2, 1, 1, 2, 2)
    assert torch.equal(examples.queries[1, 0], examples.queries[1, 2])
    assert examples.decoded.shape == (2, 3, 3)
