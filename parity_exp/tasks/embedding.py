"""Embedding: a prediction is a vector whose direction says what a query is like; answers are looked up by it."""

import copy
from collections.abc import Mapping
from math import nan
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.ranges import Factor, Width
from parity_exp.tasks.task import Task

CORRECT_COSINE = 0.9
"""An embedding whose cosine similarity with the base model's own is this large is right."""

RANKS = (1, 10)
"""How many neighbours are looked up."""

AT_ONCE = 1_024
"""Vectors that are looked up at once."""


class Embedding(Task):
    """A vector for each query, of which the direction counts.

    There are no true embeddings: those of the base model are what others are measured against. So its own are right by
    definition, and what is reconstructed is degraded by as much as it differs from them. Scores are ``cosine``, the
    cosine similarity (0 where it is negative); ``accuracy``, whether that is at least 0.9; and where it is known which
    embeddings are looked up (:meth:`knowing`), ``recall_at_1`` and ``recall_at_10``: the share of the 1 or 10 nearest
    neighbours of the base model's embedding that are also the nearest ones of the other. The query itself is none of
    them.

    A base model is pretrained, and used as it is (``base.max_epochs=0``), or it learns from classes: samples of
    a class attract each other, and others repel (supervised contrastive learning, arXiv 2004.11362, equation 2).

    Args:
        width: numbers in an embedding.
        temperature: of contrastive learning; the lower, the more the nearest samples of other classes count.
    """

    quality = "cosine"
    learned_by = "neighbour_accuracy"
    own_truth = True

    def __init__(self, width: Width = 64, temperature: Factor = 0.1) -> None:
        self.outputs = width
        self.temperature = temperature
        self.no_answer = (nan,) * width
        self.index: Tensor | None = None

    def knowing(self, predictions: Tensor) -> "Embedding":
        knows = copy.copy(self)
        knows.index = self.answer(predictions.float()).cpu()
        return knows

    def base_loss(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Supervised contrastive loss; classes with one sample in the batch attract nothing."""
        vectors = self.answer(predictions)
        itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        likeness = (vectors @ vectors.T / self.temperature).masked_fill(itself, -torch.inf)
        alike = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
        logarithms = likeness.log_softmax(1).masked_fill(~alike, 0)
        counts = alike.sum(1)
        return -(logarithms.sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)

    def learned(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Whether the nearest other sample of the batch is of the same class."""
        vectors = self.answer(predictions)
        likeness = vectors @ vectors.T
        likeness.fill_diagonal_(-torch.inf)
        return (labels[likeness.argmax(1)] == labels).float()

    def divergence(self, decoded: Tensor, predictions: Tensor, temperature: float) -> Tensor:
        """One minus the cosine similarity; embeddings have no temperature."""
        return 1 - F.cosine_similarity(decoded, predictions, dim=-1).mean()

    def answer(self, predictions: Tensor) -> Tensor:
        """The vector, of length 1."""
        return F.normalize(predictions, dim=-1)

    def answer_scores(self, answers: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        answers, labels = answers.float(), labels.float()
        cosine = F.cosine_similarity(answers, labels, dim=-1).nan_to_num(nan=0.0).clamp(0, 1)
        scores = {"cosine": cosine, "accuracy": (cosine >= CORRECT_COSINE).float()}
        if self.index is not None:
            found = self._recalls(answers.flatten(0, -2).nan_to_num(), labels.flatten(0, -2).nan_to_num(), self.index)
            scores |= {name: values.view(cosine.shape) for name, values in found.items()}
        return scores

    @staticmethod
    def _recalls(answers: Tensor, labels: Tensor, index: Tensor) -> dict[str, Tensor]:
        index = index.to(labels.device)
        most = min(max(RANKS), len(index) - 1)
        recalls: dict[str, list[Tensor]] = {}
        for some, true in zip(answers.split(AT_ONCE), labels.split(AT_ONCE), strict=True):
            known = some.abs().sum(1) > 0  # of nothing, no neighbour is the nearest, and none is looked up
            likeness = true[known] @ index.T
            itself = likeness.argmax(1, keepdim=True)
            wanted = likeness.scatter(1, itself, -torch.inf).topk(most).indices
            found = (some[known] @ index.T).scatter(1, itself, -torch.inf).topk(most).indices
            for rank in RANKS:
                both = (wanted[:, :rank, None] == found[:, None, :rank]).any(2).float().mean(1)
                recalls.setdefault(f"recall_at_{rank}", []).append(
                    torch.zeros(len(some), device=some.device).masked_scatter(known, both)
                )
        return {name: torch.cat(values) if values else torch.zeros(0) for name, values in recalls.items()}

    def default(self, labels: Tensor) -> Tensor:
        """Zeros, which are like nothing."""
        return torch.zeros(self.outputs)

    def centre(self, labels: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros(self.outputs, device=labels.device)

    def columns(self, name: str, answers: Any) -> dict[str, Any]:
        """None: tables have how good an answer is, and not its hundreds of numbers."""
        return {}

    def caption(self, own: Tensor, rebuilt: Tensor, label: Tensor) -> str:
        likeness = float(F.cosine_similarity(own.float(), rebuilt.float(), dim=-1))
        return f"cosine similarity\nof the rebuilt: {likeness:.3f}"
