"""Objectives and schedules against values worked out by hand."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity_exp.coding import (
    AdditionEncoder,
    Chebyshev,
    Code,
    LossPatterns,
    PlacesDecoder,
    ResidualDecoder,
    SubtractionDecoder,
    all_loss_patterns,
)
from parity_exp.tasks import Classification, Localization
from parity_exp.training import (
    BestObjective,
    CodedBatch,
    DecodedCrossEntropy,
    DecodedDivergence,
    DecodedKL,
    DecodedMSE,
    Objective,
    ParityMSE,
    WeightedSum,
    best_cycle,
    constant,
    cosine,
    one_cycle,
)

PREDICTIONS = torch.tensor([[[2.0, 0.0], [1.0, 3.0]]])
"""One group of k = 2 with two classes; a perfect parity model outputs (3, 3)."""

LABELS = torch.tensor([[0, 1]])
TASK = Classification(["cat", "dog"])
ONE_LOSS = LossPatterns.of_predictions(all_loss_patterns(2, 1), 1)


def coded_batch(parity: list[float], requires_grad: bool = False) -> CodedBatch:
    code = Code(AdditionEncoder(2, 1, (1,)), SubtractionDecoder(2, 1, (2,)))
    parities = torch.tensor([[parity]], requires_grad=requires_grad)
    return CodedBatch(code, PREDICTIONS, LABELS, parities, TASK, ONE_LOSS)


def log_softmax(first: float, second: float) -> tuple[float, float]:
    total = math.log(math.exp(first) + math.exp(second))
    return first - total, second - total


def kl(wanted: tuple[float, float], got: tuple[float, float]) -> float:
    return sum(math.exp(w) * (w - g) for w, g in zip(log_softmax(*wanted), log_softmax(*got), strict=True))


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        # The parity output (4, 2) is off by (1, -1), so reconstructions are (3, -1) for (2, 0) and (2, 2) for (1, 3).
        (ParityMSE(), 1.0),
        (DecodedMSE(), 1.0),
        (DecodedKL(), (kl((2, 0), (3, -1)) + kl((1, 3), (2, 2))) / 2),
        # At temperature 2 logits count half as much, and the divergence four times.
        (DecodedDivergence(2.0), 4 * (kl((1, 0), (1.5, -0.5)) + kl((0.5, 1.5), (1, 1))) / 2),
        (DecodedCrossEntropy(), -(log_softmax(3, -1)[0] + log_softmax(2, 2)[1]) / 2),
        (WeightedSum({"a": ParityMSE(), "b": DecodedMSE()}, {"a": 0.5, "b": 2.0}), 2.5),
        (WeightedSum({"a": ParityMSE(), "b": DecodedKL()}, {"a": 3, "b": 0}), 3.0),
    ],
)
def test_an_objectives_value(objective: Objective, value: float) -> None:
    assert objective(coded_batch([4.0, 2.0])).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("objective", [ParityMSE(), DecodedMSE(), DecodedKL()])
def test_perfect_parities_cost_nothing_and_wrong_ones_have_gradients(objective: Objective) -> None:
    assert objective(coded_batch([3.0, 3.0])).item() == pytest.approx(0, abs=1e-6)
    batch = coded_batch([4.0, 2.0], requires_grad=True)
    objective(batch).backward()
    assert batch.parities.grad is not None and batch.parities.grad.abs().min() > 0


def test_boxes_diverge_by_their_squared_error() -> None:
    assert Localization().divergence(torch.tensor([[4.0, 2.0]]), torch.tensor([[3.0, 3.0]]), 7.0) == 1


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature=0"):
        DecodedDivergence(0.0)


def test_extra_outputs_are_no_part_of_what_parity_models_must_output() -> None:
    code = Code(AdditionEncoder(2, 1, (1,)), ResidualDecoder(2, 1, (2,), extra_outputs=3))
    parities = torch.tensor([[[4.0, 2.0, 50.0, -50.0, 7.0]]])
    batch = CodedBatch(code, PREDICTIONS, LABELS, parities, TASK, ONE_LOSS)
    assert ParityMSE()(batch) == 1


def test_terms_of_weight_zero_are_not_computed() -> None:
    class Fails(Objective):
        def __call__(self, batch: CodedBatch) -> Tensor:
            raise AssertionError

    assert WeightedSum({"a": ParityMSE(), "b": Fails()}, {"a": 1, "b": 0})(coded_batch([3.0, 3.0])) == 0


@pytest.mark.parametrize(("weights", "complaint"), [({"a": 0}, "every weight is 0"), ({"b": 1}, "weights are given")])
def test_weights_that_do_not_fit_are_refused(weights: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        WeightedSum({"a": ParityMSE()}, weights)


BEST = BestObjective({"mse": DecodedMSE()}, {"mse": 1}, apart=DecodedCrossEntropy())


def test_the_best_objective_learns_labels_where_places_are_apart() -> None:
    parities = torch.tensor([[[3.0, -1.0, 2.0, 2.0]]])
    code = Code(AdditionEncoder(2, 1, (1,)), PlacesDecoder(2, 1, (2,)))
    batch = CodedBatch(code, PREDICTIONS, LABELS, parities, TASK, ONE_LOSS)
    BEST.check(TASK)
    assert BEST(batch).item() == pytest.approx(-(log_softmax(3, -1)[0] + log_softmax(2, 2)[1]) / 2)
    assert BEST(coded_batch([4.0, 2.0])).item() == 1, "a sum is told from the others' predictions"


def test_the_best_objective_learns_no_labels_that_are_not_classes() -> None:
    code = Code(AdditionEncoder(2, 1, (1,)), PlacesDecoder(2, 1, (2,)))
    parities = torch.tensor([[[3.0, -1.0, 2.0, 2.0]]])
    boxes = Localization()
    BEST.check(boxes)
    assert BEST(CodedBatch(code, PREDICTIONS, PREDICTIONS, parities, boxes, ONE_LOSS)).item() == 1
    with pytest.raises(ValueError, match="for classification"):
        BestObjective({"kl": DecodedKL()}, {"kl": 1}, apart=DecodedMSE()).check(boxes)


def test_every_pattern_of_up_to_r_losses_is_simulated() -> None:
    k, r = 3, 2
    c = Chebyshev().matrix(k, r)
    code = Code(AdditionEncoder(k, r, (1,), c), SubtractionDecoder(k, r, (4,), c))
    patterns = all_loss_patterns(k, r)
    predictions = torch.randn(5, k, 4)
    labels = torch.zeros(5, k, dtype=torch.long)
    losses = LossPatterns.of_predictions(patterns, r)
    batch = CodedBatch(code, predictions, labels, code.targets(predictions), TASK, losses)
    assert len(patterns) == 3 + 3
    assert batch.decoded.shape == batch.lost_predictions.shape == (5, 3 * 1 + 3 * 2, 4)
    torch.testing.assert_close(batch.decoded, batch.lost_predictions, rtol=1e-3, atol=1e-3)


def rates(schedule: Callable[..., torch.optim.lr_scheduler.LRScheduler | None], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = schedule(optimizer, steps)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return used


def test_schedules() -> None:
    assert rates(constant, 5) == [0.1] * 5
    falling = rates(cosine, 10)
    assert falling == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 10)) for step in range(10)])
    cycle = rates(lambda optimizer, steps: one_cycle(optimizer, steps, max_lr=1.0), 100)
    highest = cycle.index(max(cycle))
    assert max(cycle) == pytest.approx(1.0, abs=1e-3) and highest in (29, 30)
    assert cycle[0] == pytest.approx(1 / 25) and cycle[-1] < 1e-4
    assert cycle[:highest] == sorted(cycle[:highest]) and cycle[highest:] == sorted(cycle[highest:], reverse=True)
    assert max(rates(one_cycle, 100)) == pytest.approx(0.1, abs=1e-3), "the optimizer's own rate"


@pytest.mark.parametrize(
    ("settings", "highest"),
    [({}, 4e-3), ({"convolutions_apart": True}, 8e-3), ({"max_lr": 1e-3, "convolutions_apart": True}, 1e-3)],
)
def test_the_best_cycle_goes_twice_as_high_where_convolutions_keep_places_apart(
    settings: dict[str, Any], highest: float
) -> None:
    assert max(rates(partial(best_cycle, **settings), 100)) == pytest.approx(highest, rel=1e-3)
