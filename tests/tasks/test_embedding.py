"""Embeddings: cosine similarity, and the neighbours that are found with them."""

import pytest
import torch
import torch.nn.functional as F

from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings.measures import quality_of, serving_metrics
from parity_exp.recordings.recorder import Recorder
from parity_exp.tasks import Embedding

TASK = Embedding(width=8)


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_only_the_direction_counts() -> None:
    some = vectors(5)
    scores = TASK.scores(3 * some, TASK.answer(some))
    assert torch.allclose(scores["cosine"], torch.ones(5))
    assert scores["accuracy"].tolist() == [1] * 5
    opposite = TASK.scores(-some, TASK.answer(some))
    assert opposite["cosine"].tolist() == [0] * 5


def test_recall_is_that_of_the_base_models_own_neighbours() -> None:
    own, other = vectors(40), vectors(40, 1)
    mixed = F.normalize(own) + 0.5 * F.normalize(other)
    scores = TASK.knowing(own).scores(mixed, TASK.answer(own))
    index = F.normalize(own)
    for row in range(40):
        others = [one for one in range(40) if one != row]
        wanted = sorted(others, key=lambda one: -float(index[row] @ index[one]))[:10]
        found = sorted(others, key=lambda one: -float(mixed[row] @ index[one]))[:10]
        assert scores["recall_at_1"][row] == (wanted[0] == found[0])
        assert scores["recall_at_10"][row] == pytest.approx(len(set(wanted) & set(found)) / 10)


def test_own_embeddings_are_right_and_no_answer_is_not() -> None:
    own = vectors(20)
    task = TASK.knowing(own)
    for score in task.scores(own, task.truth(torch.zeros(20), own)).values():
        assert torch.allclose(score, torch.ones(20))
    nothing = torch.tensor(task.no_answer).expand(20, -1)
    for score in (
        *task.answer_scores(nothing, task.answer(own)).values(),
        *task.answer_scores(task.default(torch.zeros(1)).expand(20, -1), task.answer(own)).values(),
    ):
        assert score.tolist() == [0] * 20


def test_queries_without_an_answer_change_nothing_for_the_others() -> None:
    own, other = vectors(12), vectors(12, 1)
    task = TASK.knowing(own)
    whole = task.answer_scores(other, task.answer(own))
    there = torch.arange(12) % 3 > 0
    some = task.answer_scores(other * there[:, None], task.answer(own))
    for name, values in whole.items():
        assert torch.equal(some[name], values * there)


def test_scores_keep_leading_dimensions_and_small_collections_have_fewer_neighbours() -> None:
    own = vectors(6)
    scores = TASK.knowing(own).scores(own.view(2, 3, 8), TASK.answer(own).view(2, 3, 8))
    assert {score.shape for score in scores.values()} == {torch.Size([2, 3])}
    assert scores["recall_at_10"].min() == 1


def test_classes_attract_each_other_in_training() -> None:
    labels = torch.arange(12) % 3
    apart = F.one_hot(labels, 8).float() + 0.01 * vectors(12)
    assert TASK.base_loss(apart, labels) < TASK.base_loss(vectors(12), labels)
    assert TASK.learned(apart, labels).mean() == 1
    assert TASK.base_loss(vectors(3), torch.arange(3)) == 0  # nobody to be attracted by
    weights = vectors(12).requires_grad_()
    TASK.base_loss(weights, labels).backward()
    assert weights.grad is not None and weights.grad.isfinite().all()


def test_the_divergence_is_the_cosine_distance() -> None:
    own = vectors(9)
    assert float(TASK.divergence(2 * own, own, 4.0)) == pytest.approx(0, abs=1e-6)
    assert float(TASK.divergence(-own, own, 4.0)) == pytest.approx(2)


def test_served_answers_have_their_recall() -> None:
    own = vectors(20)
    task, labels = TASK.knowing(own), TASK.answer(own).tolist()
    recorded = Recorder(queries=3, warmup=0, task=task, default=[0.0] * 8)
    for query, answer in enumerate([labels[0], labels[7], None]):  # right, another's, and none
        recorded.sent(query, 0.0, 0.0, label=labels[query])
        recorded.answered(query, 0.1, AnswerSource.OWN, predicted=answer or [0.0] * 8)
    queries = recorded.queries()
    assert queries["recall_at_1"].tolist()[::2] == [1, 0] and queries["recall_at_10"].tolist()[::2] == [1, 0]
    metrics = serving_metrics(queries)
    assert metrics["recall_at_10"] == pytest.approx(queries["recall_at_10"].mean())
    assert quality_of(metrics) == "cosine"
