"""Ranks against torchmetrics, and what ties and missing numbers count for."""

from math import inf, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy

from parity_exp.tasks import Classification


def classification(classes: int) -> Classification:
    return Classification([f"class {number}" for number in range(classes)])


@pytest.mark.parametrize(
    ("classes", "ranks"), [(2, [1]), (3, [1, 2]), (10, [1, 2, 5]), (21, [1, 2, 5, 10, 20]), (100, [1, 2, 5, 10, 20])]
)
def test_ranks_are_torchmetrics_of_which_there_are_more_classes(classes: int, ranks: list[int]) -> None:
    logits, labels = torch.randn(500, classes), torch.randint(classes, (500,))
    scores = classification(classes).scores(logits, labels)
    assert list(scores) == ["accuracy", *(f"accuracy_top{rank}" for rank in ranks[1:])]
    for rank, values in zip(ranks, scores.values(), strict=True):
        metric = MulticlassAccuracy(classes, top_k=rank, average="micro")
        assert values.mean().item() == pytest.approx(metric(logits, labels).item())


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5]), min_size=6, max_size=6), st.integers(0, 5))
def test_of_equal_logits_the_first_is_the_greater(logits: list[float], label: int) -> None:
    scores = classification(6).scores(torch.tensor([logits]), torch.tensor([label]))
    order = np.argsort([-value for value in logits], kind="stable").tolist()
    assert [scores[f"accuracy{suffix}"].item() for suffix in ("", "_top2", "_top5")] == [
        float(label in order[:rank]) for rank in (1, 2, 5)
    ]


def test_a_network_that_says_the_same_of_every_class_is_right_by_chance_only() -> None:
    task, labels = classification(10), torch.arange(10)
    assert task.scores(torch.zeros(10, 10), labels)["accuracy"].sum() == 1


def test_answers_are_right_where_the_first_score_is_one() -> None:
    task, logits, labels = classification(5), torch.randn(7, 3, 5), torch.randint(5, (7, 3))
    answers = task.answer(logits)
    assert answers.shape == (7, 3)
    assert torch.equal(task.answer_scores(answers, labels)["accuracy"], task.scores(logits, labels)["accuracy"])
    assert task.answer_scores(torch.tensor(task.no_answer), torch.arange(5))["accuracy"].sum() == 0


@pytest.mark.parametrize("logits", [[nan, 0.0, 1.0], [nan, nan, nan], [1.0, nan, 0.0]])
def test_no_prediction_that_is_not_a_number_is_right(logits: list[float]) -> None:
    scores = classification(3).scores(torch.tensor([logits] * 3), torch.arange(3))
    assert scores["accuracy"].sum() == 0


def test_infinite_logits_are_compared_like_others() -> None:
    scores = classification(3).scores(torch.tensor([[-inf, inf, 0.0]] * 3), torch.arange(3))
    assert scores["accuracy"].tolist() == [0, 1, 0]
    assert scores["accuracy_top2"].tolist() == [0, 1, 1]


def test_the_default_is_the_most_frequent_class() -> None:
    task = classification(4)
    assert int(task.answer(task.default(torch.tensor([3, 1, 3, 0])))) == 3
    assert (task.centre(torch.tensor([3, 1])) == 0).all()
