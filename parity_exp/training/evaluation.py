"""How good reconstructed predictions are, on every query of a split and for every choice of what is lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from parity_exp.coding import Code, loss_patterns
from parity_exp.data import Alike, Samples, covering_groups
from parity_exp.devices.memory import samples_at_once
from parity_exp.devices.placement import on_device
from parity_exp.tasks import Task

QUERIES_IN_BATCH = 500
"""On a processor, at most; fewer of large ones, and more on a GPU."""

DECODED_AT_ONCE = 1 << 26
"""Numbers that come out of decoding one batch under all its loss patterns, at most: 256 MiB as float32."""


@dataclass(frozen=True)
class Evaluation:
    """How good a code is on a split.

    Attributes:
        metrics: for each score of the task, ``available_<score>``, ``degraded_<score>`` and
            ``reconstruction_<score>`` for one lost prediction; where more can come back, the last two for every number
            of losses up to what the decoder repairs, as ``losses_<l>/...``. So ``degraded_accuracy``,
            ``degraded_accuracy_top5``, ``degraded_iou``.
        per_class: a row a class with its samples and its available, degraded and reconstruction quality; none where
            the task has no classes.
        overall: overall quality ``A_o = (1 - f_u) A_a + f_u A_d`` by fraction unavailable ``f_u``.
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
        labels: ``(B, k, *label)``.
        name: what people call one of the parity queries.
        texts: what the queries say, a row a group, where they are texts; None: they are pictures.
    """

    queries: Tensor
    parity_queries: Tensor
    predictions: Tensor
    decoded: Tensor
    labels: Tensor
    name: str = "parity query"
    texts: Sequence[Sequence[str]] | None = None


class Evaluator:
    """Runs a code over a split.

    Args:
        code: encoder and decoder.
        parity_models: r networks.
        device: where to run copies of them.
        normalise: brings a batch of queries ``(N, C, H, W)`` from how they are kept to what networks see.
        correlated: share of a group's queries that are of one class.
    """

    def __init__(
        self,
        code: Code,
        parity_models: Sequence[nn.Module],
        device: torch.device,
        normalise: Callable[[Tensor], Tensor] = lambda queries: queries,
        correlated: float = 0.0,
    ) -> None:
        self.normalise = normalise
        self.correlated = correlated
        self.code = on_device(code, device)
        self.parity_models = [on_device(model, device) for model in parity_models]
        self.device = device

    @torch.no_grad()
    def evaluate(
        self,
        samples: Samples,
        predictions: Tensor,
        task: Task,
        fractions_unavailable: Sequence[float],
        seed: int,
        groupings: int = 1,
    ) -> Evaluation:
        """Measure how good predictions are with every sample lost once a grouping and loss pattern.

        Args:
            samples: queries ``(N, C, H, W)`` as they are kept, and labels ``(N, *label)``.
            predictions: the base model's, ``(N, *out)``.
            task: scores predictions.
            fractions_unavailable: the f_u to give the overall quality at.
            seed: seed of the grouping.
            groupings: random groupings to average over.
        """
        available = self._available(samples, predictions, task)
        by_losses = {losses: LossScores(task, self.device) for losses in self._loss_counts()}
        for grouping in range(groupings):
            for batch in self._batches(samples, predictions, seed + grouping):
                for losses, scores in by_losses.items():
                    self._measure(batch, losses, scores)

        one_loss = by_losses[1]
        metrics = {**available.named("available"), **one_loss.named()}
        if len(by_losses) > 1:
            for losses, scores in by_losses.items():
                metrics |= {f"losses_{losses}/{name}": value for name, value in scores.named().items()}
        quality = task.quality
        overall = overall_quality(
            quality, metrics[f"available_{quality}"], metrics[f"degraded_{quality}"], fractions_unavailable
        )
        return Evaluation(metrics, one_loss.by_class(available), overall)

    @torch.no_grad()
    def examples(self, samples: Samples, predictions: Tensor, seed: int, count: int) -> Examples:
        """Take the first groups of the grouping that :meth:`evaluate` uses."""
        groups, _ = covering_groups(len(samples), self.code.k, seed, Alike(samples.labels, self.correlated))
        groups = groups[:count]
        queries = self._queries(samples, groups)
        group_predictions = predictions[groups].to(self.device)
        parity_queries = self.code.encode(queries)
        decoded = self._decoded_alone(group_predictions, self._parities(parity_queries))
        each = torch.arange(self.code.k)
        return Examples(
            queries.cpu(),
            parity_queries.cpu(),
            group_predictions.cpu(),
            decoded[:, each, each].cpu(),
            samples.labels[groups],
        )

    @torch.no_grad()
    def outputs(self, samples: Samples, predictions: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Own predictions ``(G, k, *out)`` and parity outputs ``(G, r, *out)`` of groups ``(G, k)``, on the CPU.

        Args:
            samples: queries ``(N, C, H, W)`` as they are kept.
            predictions: the base model's, ``(N, *out)``.
            groups: indices of samples.
        """
        some = groups.split(self._groups_at_once(samples, 1))
        parities = [self._parities(self.code.encode(self._queries(samples, part))).cpu() for part in some]
        return predictions[groups].cpu(), torch.cat(parities)

    def _available(self, samples: Samples, predictions: Tensor, task: Task) -> "Scores":
        """How good predictions are that are not lost."""
        available = Scores(task, self.device)
        available.update(predictions.to(self.device), samples.labels.to(self.device))
        return available

    def _decoded_alone(self, predictions: Tensor, parities: Tensor) -> Tensor:
        """Each prediction of some groups as if it alone was lost, ``(B, k, k, *out)`` by what is lost and place."""
        return self.code.decode_patterns(predictions, parities, loss_patterns(self.code.k, 1).to(self.device))

    def _loss_counts(self) -> range:
        return range(1, self.code.decoder.most_losses + 1)

    def _patterns(self, losses: int) -> Tensor:
        """All patterns of so many losses, or a sample, ``(P, k)``; fewer that come to the same where there are some."""
        k = self.code.k
        if self.code.decoder.reads_predictions:
            return loss_patterns(k, losses)
        # What else is lost makes no difference to a reconstruction: it suffices that each place is lost equally often.
        return (torch.arange(k) - torch.arange(k)[:, None]) % k >= losses

    def _parities(self, parity_queries: Tensor) -> Tensor:
        outputs = [model(parity_queries[:, row]).float() for row, model in enumerate(self.parity_models)]
        return torch.stack(outputs, dim=1)

    def _batches(self, samples: Samples, predictions: Tensor, seed: int) -> Iterator["GroupOutputs"]:
        groups, counted = covering_groups(len(samples), self.code.k, seed, Alike(samples.labels, self.correlated))
        patterns = max(len(self._patterns(losses)) for losses in self._loss_counts())
        for rows in torch.arange(len(groups)).split(self._groups_at_once(samples, patterns * predictions[0].numel())):
            chosen = groups[rows]
            queries = self._queries(samples, chosen)
            yield GroupOutputs(
                predictions=predictions[chosen].to(self.device),
                parities=self._parities(self.code.encode(queries)),
                labels=samples.labels[chosen].to(self.device),
                counted=counted[rows].to(self.device),
            )

    def _groups_at_once(self, samples: Samples, numbers: int) -> int:
        """Groups in a batch, each of which is decoded to so many numbers for each of its queries."""
        queries = samples_at_once(samples.inputs.shape[1:], QUERIES_IN_BATCH, self.device)
        return max(1, min(queries, DECODED_AT_ONCE // numbers) // self.code.k)

    def _queries(self, samples: Samples, groups: Tensor) -> Tensor:
        """The queries of groups ``(B, k)`` as networks see them, ``(B, k, C, H, W)``."""
        kept = samples.inputs[groups.flatten()].to(self.device)
        return self.normalise(kept).unflatten(0, groups.shape)

    def _measure(self, batch: "GroupOutputs", losses: int, scores: "LossScores") -> None:
        patterns = self._patterns(losses).to(self.device)
        pattern, place = (~patterns).nonzero(as_tuple=True)
        decoded = self.code.decode_patterns(batch.predictions, batch.parities, patterns)[:, pattern, place]
        counted = batch.counted[:, place]
        scores.update(decoded[counted], batch.predictions[:, place][counted], batch.labels[:, place][counted])


@dataclass(frozen=True)
class GroupOutputs:
    """Some groups with all that networks made of them: predictions, parity outputs, labels, and what counts."""

    predictions: Tensor
    parities: Tensor
    labels: Tensor
    counted: Tensor


def overall_quality(quality: str, available: float, degraded: float, fractions: Sequence[float]) -> pd.DataFrame:
    """``A_o = (1 - f_u) A_a + f_u A_d`` for each fraction unavailable (Parity Models, section 2.3)."""
    values = [(1 - fraction) * available + fraction * degraded for fraction in fractions]
    return pd.DataFrame({"fraction_unavailable": list(fractions), f"overall_{quality}": values})


class Scores:
    """Means of a task's scores over all samples, and of its quality by class."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task = task
        self.device = device
        self.means: dict[str, MeanMetric] = {}
        self.class_sums = torch.zeros(len(task.class_names), device=device)
        self.class_counts = torch.zeros(len(task.class_names), dtype=torch.int64, device=device)

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Count predictions ``(N, *out)`` against labels ``(N, *label)``."""
        scores = self.task.scores(predictions, labels)
        for name, values in scores.items():
            if name not in self.means:
                self.means[name] = MeanMetric("disable").to(self.device)
            self.means[name].update(values)
        if self.task.class_names:
            self.class_sums.index_add_(0, labels, scores[self.task.quality])
            self.class_counts += torch.bincount(labels, minlength=len(self.class_counts))

    def named(self, name: str) -> dict[str, float]:
        return {f"{name}_{score}": float(mean.compute()) for score, mean in self.means.items()}

    def by_class(self) -> list[float]:
        values: list[float] = (self.class_sums / self.class_counts.clamp(min=1)).tolist()
        return values

    def samples_by_class(self) -> list[int]:
        counts: list[int] = self.class_counts.tolist()
        return counts


class LossScores:
    """Degraded and reconstruction quality for one number of losses."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task = task
        self.degraded = Scores(task, device)
        self.reconstruction = Scores(task, device)

    def update(self, decoded: Tensor, own: Tensor, labels: Tensor) -> None:
        """Count reconstructions and the base model's own predictions, ``(N, *out)``."""
        self.degraded.update(decoded, labels)
        self.reconstruction.update(decoded, self.task.answer(own))

    def named(self) -> dict[str, float]:
        return self.degraded.named("degraded") | self.reconstruction.named("reconstruction")

    def by_class(self, available: Scores) -> pd.DataFrame:
        """A row a class, with how good the base model's own predictions are, too."""
        return pd.DataFrame(
            {
                "class": list(self.task.class_names),
                "samples": available.samples_by_class(),
                f"available_{self.task.quality}": available.by_class(),
                f"degraded_{self.task.quality}": self.degraded.by_class(),
                f"reconstruction_{self.task.quality}": self.reconstruction.by_class(),
            }
        )
