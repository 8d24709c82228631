"""What is measured of codes over copies of the base model, against counting by hand."""

import pytest
import torch
from torch import Tensor, nn

from parity_exp.analysis.tables.quality import quality_table
from parity_exp.coding import BarycentricCode, BerrutCode, NonSystematicCode, SplineCode, loss_patterns
from parity_exp.data import Samples, covering_groups
from parity_exp.tasks import Classification
from parity_exp.training import NonSystematicEvaluator, least_missed, search_settings

TASK = Classification(("a", "b", "c", "d"))
DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def base() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 32), nn.Tanh(), nn.Linear(32, 4))


@pytest.fixture(scope="module")
def samples(base: nn.Module) -> Samples:
    inputs = torch.randn(61, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return Samples(inputs, base(inputs).argmax(1))


def predictions(base: nn.Module, samples: Samples) -> Tensor:
    with torch.no_grad():
        output: Tensor = base(samples.inputs)
    return output


def counted(code: NonSystematicCode, base: nn.Module, samples: Samples, answered: Tensor) -> float:
    """Accuracy over all samples with some answers, one group at a time."""
    groups, is_counted = covering_groups(len(samples), code.k, 0)
    right = total = 0
    for group, counts in zip(groups, is_counted, strict=True):
        with torch.no_grad():
            answers = base(code.encode(samples.inputs[group][None])[0])
        rows = [answer if there else None for answer, there in zip(answers, answered, strict=True)]
        classes = code.decode_group(rows).argmax(1)
        right += int((classes == samples.labels[group])[counts].sum())
        total += int(counts.sum())
    assert total == len(samples)
    return right / total


@pytest.mark.parametrize(
    "code", [BerrutCode(3, 2, last=[1, 3]), SplineCode(2, 1, encoder_weight=0, decoder_weight=1e-3)]
)
def test_accuracy_is_that_of_all_predictions_under_every_pattern(
    code: NonSystematicCode, base: nn.Module, samples: Samples
) -> None:
    evaluation = NonSystematicEvaluator(code, base, DEVICE).evaluate(
        samples, predictions(base, samples), TASK, [0.0, 0.5], seed=0
    )
    metrics = evaluation.metrics
    assert metrics["available_accuracy"] == 1
    everything = torch.ones(code.n, dtype=torch.bool)
    assert metrics["no_loss_accuracy"] == pytest.approx(counted(code, base, samples, everything))
    for losses in range(1, code.stragglers + 1):
        each = [counted(code, base, samples, pattern) for pattern in loss_patterns(code.n, losses)]
        name = "degraded_accuracy" if losses == 1 else f"losses_{losses}/degraded_accuracy"
        assert metrics[name] == pytest.approx(sum(each) / len(each))
    assert metrics["reconstruction_accuracy"] == pytest.approx(metrics["degraded_accuracy"]), "labels are predictions"
    if code.last:
        first = torch.tensor([row not in code.last for row in range(code.n)])
        assert metrics["first_answers/degraded_accuracy"] == pytest.approx(counted(code, base, samples, first))
    overall = evaluation.overall["overall_accuracy"].tolist()
    assert overall == pytest.approx(
        [metrics["no_loss_accuracy"], (metrics["no_loss_accuracy"] + metrics["degraded_accuracy"]) / 2]
    )


def test_wrong_answers_are_located_and_cost_little(base: nn.Module, samples: Samples) -> None:
    code = BerrutCode(2, 1, 1, signs="alternating")
    evaluator = NonSystematicEvaluator(code, base, DEVICE, noise_sigmas=[0, 1000])
    metrics = evaluator.evaluate(samples, predictions(base, samples), TASK, [0.0], seed=0, groupings=3).metrics
    assert metrics["wrong_1_sigma_1000/located"] > 0.9
    assert metrics["wrong_1_sigma_0/located"] < 0.5, "there is nothing to be seen"
    assert metrics["wrong_1_sigma_1000/degraded_accuracy"] > metrics["degraded_accuracy"] - 0.1


def test_quality_is_measured_for_every_number_of_answers(base: nn.Module, samples: Samples) -> None:
    code = BarycentricCode(2, 2, encoder_degree=1, decoder_degree=0)
    metrics = (
        NonSystematicEvaluator(code, base, DEVICE)
        .evaluate(samples, predictions(base, samples), TASK, [0.0], seed=0)
        .metrics
    )
    assert metrics["answers_4/degraded_accuracy"] == metrics["no_loss_accuracy"]
    assert metrics["answers_3/degraded_accuracy"] == pytest.approx(metrics["degraded_accuracy"])
    ones = [counted(code, base, samples, torch.arange(4) == row) for row in range(4)]
    assert metrics["answers_1/reconstruction_accuracy"] == pytest.approx(sum(ones) / 4)
    shown = quality_table(metrics)[""].tolist()
    assert {"answers 1/degraded", "answers 4/degraded"} <= set(shown)


def test_examples_show_what_is_sent_and_what_comes_back(base: nn.Module, samples: Samples) -> None:
    evaluator = NonSystematicEvaluator(BerrutCode(2, 1), base, DEVICE)
    examples = evaluator.examples(samples, predictions(base, samples), seed=0, count=3)
    assert examples.parity_queries.shape == (3, 3, 1, 3, 3) and examples.name == "coded query"
    assert examples.decoded.shape == examples.predictions.shape == (3, 2, 4)


def test_the_best_weights_are_found_and_what_is_missed_least(base: nn.Module, samples: Samples) -> None:
    def make(decoder_weight: float | None = None) -> SplineCode:
        return SplineCode(4, 1, encoder_weight=1e-3, decoder_weight=decoder_weight)

    def evaluator(code: NonSystematicCode) -> NonSystematicEvaluator:
        return NonSystematicEvaluator(code, base, DEVICE)

    on = samples, predictions(base, samples), TASK, 0
    found = search_settings(make, evaluator, *on)
    column = "val/reconstruction_accuracy"
    assert len(found.table) == 10
    assert found.quality == found.table[column].max()
    best = make(**found.settings)
    measured = evaluator(best).evaluate(samples, on[1], TASK, [0.0], seed=0).metrics
    assert measured["reconstruction_accuracy"] == pytest.approx(found.quality)
    (row,) = least_missed(evaluator(best), *on)
    each = [counted(best, base, samples, pattern) for pattern in loss_patterns(best.n, 1)]
    assert counted(best, base, samples, torch.arange(best.n) != row) == max(each)
