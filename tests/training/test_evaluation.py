"""Accuracies against values worked out by hand."""

import pytest
import torch
from torch import Tensor, nn

from parity_exp.coding import (
    AdditionEncoder,
    Chebyshev,
    Code,
    ConcatenationEncoder,
    PlacesDecoder,
    SubtractionDecoder,
    loss_patterns,
)
from parity_exp.data import Samples, covering_groups
from parity_exp.tasks import Classification
from parity_exp.training import Evaluation, Evaluator, overall_quality

FRACTIONS = [0, 0.05, 0.1]


class Plus(nn.Module):
    """A parity model for base predictions that are the queries themselves: right but for what is added."""

    def __init__(self, *added: float) -> None:
        super().__init__()
        self.added = torch.tensor(added)

    def forward(self, parity: Tensor) -> Tensor:
        return parity + self.added


def evaluate(
    predictions: Tensor, labels: Tensor, parity_models: list[nn.Module], k: int = 2, groupings: int = 1
) -> Evaluation:
    r, classes = len(parity_models), predictions.shape[1]
    c = Chebyshev().matrix(k, r)
    code = Code(AdditionEncoder(k, r, (classes,), c), SubtractionDecoder(k, r, (classes,), c))
    task = Classification([f"class {number}" for number in range(classes)])
    evaluator = Evaluator(code, parity_models, torch.device("cpu"))
    return evaluator.evaluate(Samples(predictions, labels), predictions, task, FRACTIONS, seed=0, groupings=groupings)


def test_accuracies_of_a_case_worked_out_by_hand() -> None:
    # The base model is wrong about the last sample. The parity model adds (0, 2), so every reconstruction says class 1
    # unless class 0 leads by more than 2.
    predictions = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    labels = torch.tensor([0, 0, 1, 0])
    result = evaluate(predictions, labels, [Plus(0, 2)])
    assert result.metrics["available_accuracy"] == pytest.approx(3 / 4)
    assert result.metrics["degraded_accuracy"] == pytest.approx(2 / 4)  # right: samples 0 and 2
    assert result.metrics["reconstruction_accuracy"] == pytest.approx(3 / 4)  # as the base model: 0, 2 and 3
    table = result.per_class.set_index("class")
    assert table["samples"].tolist() == [3, 1]
    assert table["available_accuracy"].tolist() == pytest.approx([2 / 3, 1])
    assert table["degraded_accuracy"].tolist() == pytest.approx([1 / 3, 1])
    assert table["reconstruction_accuracy"].tolist() == pytest.approx([1 / 2, 1])
    assert result.overall["fraction_unavailable"].tolist() == FRACTIONS
    assert result.overall["overall_accuracy"].tolist() == pytest.approx([0.75, 0.7375, 0.725])


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("r", [1, 2])
def test_perfect_parity_models_lose_nothing(k: int, r: int) -> None:
    predictions, labels = torch.randn(50, 12), torch.randint(12, (50,))
    metrics = evaluate(predictions, labels, [Plus(*[0] * 12) for _ in range(r)], k).metrics
    for key, value in metrics.items():
        if "degraded" in key:
            assert value == pytest.approx(metrics[key.split("/")[-1].replace("degraded", "available")]), key
        if key.split("/")[-1] == "reconstruction_accuracy":
            assert value == 1


def test_the_number_of_samples_need_not_divide_by_k() -> None:
    predictions = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [5.0, 0.0]])
    result = evaluate(predictions, torch.tensor([0, 0, 1, 0, 0]), [Plus(0, 2)], k=2)
    assert result.metrics["degraded_accuracy"] == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("classes", "ranks"), [(2, []), (3, [2]), (10, [2, 5]), (11, [2, 5, 10]), (100, [2, 5, 10, 20])]
)
def test_ranks_are_those_that_the_classes_allow(classes: int, ranks: list[int]) -> None:
    predictions, labels = torch.randn(40, classes), torch.randint(classes, (40,))
    metrics = evaluate(predictions, labels, [Plus(*[0] * classes)]).metrics
    names = {"available_accuracy", "degraded_accuracy", "reconstruction_accuracy"}
    assert set(metrics) == names | {f"{name}_top{rank}" for name in names for rank in ranks}
    order = predictions.argsort(dim=1, descending=True)
    for rank in ranks:
        expected = (order[:, :rank] == labels[:, None]).any(1).float().mean().item()
        assert metrics[f"available_accuracy_top{rank}"] == pytest.approx(expected)
        assert metrics[f"degraded_accuracy_top{rank}"] == pytest.approx(expected)


def test_each_number_of_losses_is_measured() -> None:
    torch.manual_seed(0)
    predictions, labels = torch.randn(30, 4), torch.randint(4, (30,))
    models: list[nn.Module] = [Plus(0, 1.0, 0, 0), Plus(0.5, 0, 0, 0)]
    metrics = evaluate(predictions, labels, models, k=3).metrics
    c = Chebyshev().matrix(3, 2)
    decoder = SubtractionDecoder(3, 2, (4,), c)
    groups, _ = covering_groups(30, 3, seed=0)
    parities = decoder.targets(predictions[groups]) + torch.tensor([[0, 1.0, 0, 0], [0.5, 0, 0, 0]])
    for losses in (1, 2):
        right = []
        for pattern in loss_patterns(3, losses):
            available = pattern.expand(10, 3)
            decoded = decoder.decode(predictions[groups], available, parities, torch.ones(10, 2, dtype=torch.bool))
            right.append((decoded.argmax(-1) == labels[groups])[~available].float())
        assert metrics[f"losses_{losses}/degraded_accuracy"] == pytest.approx(torch.cat(right).mean().item())
    assert metrics["degraded_accuracy"] == metrics["losses_1/degraded_accuracy"]


@pytest.mark.parametrize(("k", "r"), [(3, 1), (4, 2)])
def test_with_places_apart_every_number_of_losses_up_to_k_is_measured(k: int, r: int) -> None:
    rows = torch.ones(r, k)
    code = Code(ConcatenationEncoder(k, r, (1, 6, 6), rows), PlacesDecoder(k, r, (5,), rows))
    models = [nn.Sequential(nn.Flatten(), nn.Linear(36, 5 * k)) for _ in range(r)]
    samples = Samples(torch.rand(25, 1, 6, 6), torch.randint(5, (25,)))
    predictions = torch.randn(25, 5)
    task = Classification([f"class {number}" for number in range(5)])
    metrics = Evaluator(code, models, torch.device("cpu")).evaluate(samples, predictions, task, FRACTIONS, 0).metrics

    groups, counted = covering_groups(25, k, 0)
    with torch.no_grad():
        encoded = code.encode(samples.inputs[groups])
        parities = torch.stack([model(encoded[:, row]) for row, model in enumerate(models)], dim=1)
    for losses in range(1, k + 1):
        right = total = 0
        for pattern in loss_patterns(k, losses):
            decoded = code.decode_patterns(predictions[groups], parities, pattern[None])[:, 0]
            chosen = counted & ~pattern
            right += int((decoded.argmax(2) == samples.labels[groups])[chosen].sum())
            total += int(chosen.sum())
        assert metrics[f"losses_{losses}/degraded_accuracy"] == pytest.approx(right / total)
    assert f"losses_{k + 1}/degraded_accuracy" not in metrics


def test_groupings_are_averaged() -> None:
    torch.manual_seed(0)
    predictions, labels = torch.randn(30, 4), torch.randint(4, (30,))

    class Squares(nn.Module):
        def forward(self, parity: Tensor) -> Tensor:
            return parity**2

    once = [evaluate(predictions, labels, [Squares()], groupings=n).metrics["degraded_accuracy"] for n in (1, 3)]
    assert once[0] != once[1]
    assert evaluate(predictions, labels, [Squares()], groupings=3).metrics["degraded_accuracy"] == once[1]


def test_overall_quality_is_the_papers_formula() -> None:
    table = overall_quality("accuracy", 0.9, 0.5, [0, 0.1, 1])
    assert table["overall_accuracy"].tolist() == pytest.approx([0.9, 0.86, 0.5])
