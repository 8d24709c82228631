"""How good reconstructed predictions are, on every query of a split and for every choice of what is lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from parity_exp.coding import Code, loss_patterns
from parity_exp.data import Samples, covering_groups

TOP = (2, 5, 10, 20)
"""Besides top-1, accuracies are taken at these ranks, as far as there are more classes than that."""

GROUPS_IN_BATCH = 250
NOT_COUNTED = -1


@dataclass(frozen=True)
class Evaluation:
    """Accuracies of a code on a split.

    Attributes:
        metrics: ``available_accuracy``, ``degraded_accuracy`` and ``reconstruction_accuracy`` for one lost
            prediction, each also with ``_top<n>``; where r > 1 the same for every number of losses as
            ``losses_<l>/...``.
        per_class: a row a class with its samples and its available, degraded and reconstruction accuracy.
        overall: overall accuracy ``A_o = (1 - f_u) A_a + f_u A_d`` by fraction unavailable ``f_u``.
    """

    metrics: dict[str, float]
    per_class: pd.DataFrame
    overall: pd.DataFrame


@dataclass(frozen=True)
class Examples:
    """Some groups with all that the code made of them, for a picture.

    Attributes:
        queries: ``(B, k, C, H, W)``, as networks see them.
        parity_queries: ``(B, r, *parity_query)``.
        predictions: ``(B, k, *out)``.
        decoded: ``(B, k, *out)``, each reconstructed as if it alone was lost.
        labels: ``(B, k)``.
    """

    queries: Tensor
    parity_queries: Tensor
    predictions: Tensor
    decoded: Tensor
    labels: Tensor


class Evaluator:
    """Runs a code over a split.

    Args:
        code: encoder and decoder.
        parity_models: r networks.
        device: where to run them.
    """

    def __init__(self, code: Code, parity_models: Sequence[nn.Module], device: torch.device) -> None:
        self.code = code.to(device).eval()
        self.parity_models = [model.to(device).eval() for model in parity_models]
        self.device = device

    @torch.no_grad()
    def evaluate(
        self,
        samples: Samples,
        predictions: Tensor,
        class_names: Sequence[str],
        fractions_unavailable: Sequence[float],
        seed: int,
        groupings: int = 1,
    ) -> Evaluation:
        """Measure accuracies with every sample lost once a grouping and loss pattern.

        Args:
            samples: normalised queries ``(N, C, H, W)`` and labels ``(N,)``.
            predictions: the base model's, ``(N, classes)``.
            class_names: names in the order of the labels.
            fractions_unavailable: the f_u to give the overall accuracy at.
            seed: seed of the grouping.
            groupings: random groupings to average over.
        """
        classes = predictions.shape[1]
        ranks = [1, *(rank for rank in TOP if rank < classes)]
        available = _Accuracies(classes, ranks, self.device)
        available.update(predictions.to(self.device), samples.labels.to(self.device))
        by_losses = {losses: _LossAccuracies(classes, ranks, self.device) for losses in self._loss_counts()}
        for grouping in range(groupings):
            for batch in self._batches(samples, predictions, seed + grouping):
                for losses, accuracies in by_losses.items():
                    self._measure(batch, losses, accuracies)

        one_loss = by_losses[1]
        metrics = {**available.named("available_accuracy"), **one_loss.named()}
        if len(by_losses) > 1:
            for losses, accuracies in by_losses.items():
                metrics |= {f"losses_{losses}/{name}": value for name, value in accuracies.named().items()}
        per_class = pd.DataFrame(
            {
                "class": list(class_names),
                "samples": torch.bincount(samples.labels, minlength=classes).tolist(),
                "available_accuracy": available.by_class(),
                "degraded_accuracy": one_loss.degraded.by_class(),
                "reconstruction_accuracy": one_loss.reconstruction.by_class(),
            }
        )
        overall = overall_accuracy(metrics["available_accuracy"], metrics["degraded_accuracy"], fractions_unavailable)
        return Evaluation(metrics, per_class, overall)

    @torch.no_grad()
    def examples(self, samples: Samples, predictions: Tensor, seed: int, count: int) -> Examples:
        """Take the first groups of the grouping that :meth:`evaluate` uses."""
        groups, _ = covering_groups(len(samples), self.code.k, seed)
        groups = groups[:count]
        queries = samples.inputs[groups].to(self.device)
        group_predictions = predictions[groups].to(self.device)
        parity_queries = self.code.encode(queries)
        decoded = self.code.decode_patterns(
            group_predictions, self._parities(parity_queries), loss_patterns(self.code.k, 1).to(self.device)
        )
        each = torch.arange(self.code.k)
        return Examples(
            queries.cpu(),
            parity_queries.cpu(),
            group_predictions.cpu(),
            decoded[:, each, each].cpu(),
            samples.labels[groups],
        )

    def _loss_counts(self) -> range:
        return range(1, min(self.code.r, self.code.k) + 1)

    def _parities(self, parity_queries: Tensor) -> Tensor:
        outputs = [model(parity_queries[:, row]).float() for row, model in enumerate(self.parity_models)]
        return torch.stack(outputs, dim=1)

    def _batches(self, samples: Samples, predictions: Tensor, seed: int) -> Iterator["_Batch"]:
        groups, counted = covering_groups(len(samples), self.code.k, seed)
        for rows in torch.arange(len(groups)).split(GROUPS_IN_BATCH):
            chosen = groups[rows]
            queries = samples.inputs[chosen].to(self.device)
            yield _Batch(
                predictions=predictions[chosen].to(self.device),
                parities=self._parities(self.code.encode(queries)),
                labels=samples.labels[chosen].to(self.device),
                counted=counted[rows].to(self.device),
            )

    def _measure(self, batch: "_Batch", losses: int, accuracies: "_LossAccuracies") -> None:
        patterns = loss_patterns(self.code.k, losses).to(self.device)
        pattern, place = (~patterns).nonzero(as_tuple=True)
        decoded = self.code.decode_patterns(batch.predictions, batch.parities, patterns)[:, pattern, place]
        counted = batch.counted[:, place].flatten()
        own = batch.predictions.argmax(-1)[:, place].flatten()
        labels = batch.labels[:, place].flatten()
        accuracies.update(decoded.flatten(0, 1)[counted], own[counted], labels[counted])


@dataclass(frozen=True)
class _Batch:
    predictions: Tensor
    parities: Tensor
    labels: Tensor
    counted: Tensor


def overall_accuracy(available: float, degraded: float, fractions: Sequence[float]) -> pd.DataFrame:
    """``A_o = (1 - f_u) A_a + f_u A_d`` for each fraction unavailable (Parity Models, section 2.3)."""
    values = [(1 - fraction) * available + fraction * degraded for fraction in fractions]
    return pd.DataFrame({"fraction_unavailable": list(fractions), "overall_accuracy": values})


class _Accuracies:
    """Accuracy at several ranks, and by class at the first."""

    def __init__(self, classes: int, ranks: Sequence[int], device: torch.device) -> None:
        def accuracy(rank: int, average: str) -> MulticlassAccuracy:
            metric = MulticlassAccuracy(classes, top_k=rank, average=average, validate_args=False)  # type: ignore[arg-type]
            return metric.to(device)

        self.ranks = {rank: accuracy(rank, "micro") for rank in ranks}
        self.classes = accuracy(1, "none")

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        for metric in (*self.ranks.values(), self.classes):
            metric.update(outputs, labels)

    def named(self, name: str) -> dict[str, float]:
        return {
            name if rank == 1 else f"{name}_top{rank}": float(metric.compute()) for rank, metric in self.ranks.items()
        }

    def by_class(self) -> list[float]:
        values: list[float] = self.classes.compute().tolist()
        return values


class _LossAccuracies:
    """Degraded and reconstruction accuracy for one number of losses."""

    def __init__(self, classes: int, ranks: Sequence[int], device: torch.device) -> None:
        self.degraded = _Accuracies(classes, ranks, device)
        self.reconstruction = _Accuracies(classes, ranks, device)

    def update(self, decoded: Tensor, own: Tensor, labels: Tensor) -> None:
        self.degraded.update(decoded, labels)
        self.reconstruction.update(decoded, own)

    def named(self) -> dict[str, float]:
        return self.degraded.named("degraded_accuracy") | self.reconstruction.named("reconstruction_accuracy")
