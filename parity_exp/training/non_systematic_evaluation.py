"""How good the predictions of a non-systematic code are: with all answers, with some missing, with some wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from parity_exp.coding import NonSystematicCode, loss_patterns
from parity_exp.data import Alike, Samples, covering_groups
from parity_exp.devices.memory import samples_at_once
from parity_exp.devices.placement import on_device
from parity_exp.tasks import Task
from parity_exp.training.evaluation import (
    QUERIES_IN_BATCH,
    Evaluation,
    Examples,
    LossScores,
    Scores,
    overall_quality,
)

PATTERNS = 64
"""Where answers can be missing in more ways than this, so many are drawn."""


@dataclass(frozen=True)
class AnsweredBatch:
    """Some groups, after copies of the base model have answered their coded queries.

    Attributes:
        answers: ``(B, n, *out)``.
        predictions: ``(B, k, *out)``, the base model's own for the queries themselves.
        labels: ``(B, k, *label)``.
        counted: ``(B, k)``, false where a sample only fills up the last group.
    """

    answers: Tensor
    predictions: Tensor
    labels: Tensor
    counted: Tensor


class NonSystematicEvaluator:
    """Runs a non-systematic code over a split.

    Args:
        code: the code.
        base: the network that answers coded queries.
        device: where to run a copy of it.
        normalise: brings a batch of queries ``(N, C, H, W)`` from how they are kept to what networks see.
        noise_sigmas: standard deviations of what is added to wrong answers, where the code looks for these.
        correlated: share of a group's queries that are of one class.
    """

    def __init__(
        self,
        code: NonSystematicCode,
        base: nn.Module,
        device: torch.device,
        normalise: Callable[[Tensor], Tensor] = lambda queries: queries,
        noise_sigmas: Sequence[float] = (),
        correlated: float = 0.0,
    ) -> None:
        self.code = code
        self.correlated = correlated
        self.noise_sigmas = noise_sigmas if code.byzantine else ()
        self.base = on_device(base, device)
        self.device = device
        self.normalise = normalise

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
        """Measure all k predictions of every group.

        Beside the names that systematic codes have, ``no_loss_<score>`` is with all n answers, and degraded and
        reconstruction scores are with one missing, means over which; ``losses_<l>/...`` has every number from 1 to S;
        ``first_answers/...`` is without the S that are sent last, as equally quick instances leave it. Where E = 0,
        ``answers_<a>/...`` is with a answers, means over which, for every a from 1 to n.
        With E > 0, ``wrong_<E>_sigma_<s>/...`` is with S answers missing and normal noise of that standard deviation on
        all outputs of E others: ``located`` is the share of these that were found, and the degraded scores are those
        of what was decoded without what was found.

        Overall quality is ``(1 - f_u) A_n + f_u A_d``, where ``A_n`` is the quality without losses and ``f_u`` the
        fraction of groups that are decoded without one answer.

        Args:
            samples: queries ``(N, C, H, W)`` as they are kept, and labels ``(N, *label)``.
            predictions: the base model's, ``(N, *out)``.
            task: scores predictions.
            fractions_unavailable: the f_u to give the overall quality at.
            seed: seed of the grouping, and of noise.
            groupings: random groupings to average over.
        """
        available = Scores(task, self.device)
        available.update(predictions.to(self.device), samples.labels.to(self.device))
        by_losses = {losses: LossScores(task, self.device) for losses in range(self.code.stragglers + 1)}
        noisy = {
            sigma: _NoiseScores(LossScores(task, self.device), MeanMetric("disable").to(self.device))
            for sigma in self.noise_sigmas
        }
        counts = range(1, self.code.n + 1) if self.code.byzantine == 0 else range(0)
        by_answers = {count: LossScores(task, self.device) for count in counts}
        first = LossScores(task, self.device)
        random = torch.Generator().manual_seed(seed)
        for grouping in range(groupings):
            for batch in self.answered(samples, predictions, seed + grouping):
                for losses, scores in by_losses.items():
                    self.measure(batch, self.patterns(losses), scores)
                for count, scores in by_answers.items():
                    self.measure(batch, self.patterns(self.code.n - count), scores)
                self.measure(batch, self._first_answers, first)
                for sigma, noise_scores in noisy.items():
                    self._measure_noise(batch, sigma, noise_scores, random)

        one_loss = by_losses[min(1, self.code.stragglers)]
        metrics = {**available.named("available"), **by_losses[0].degraded.named("no_loss"), **one_loss.named()}
        if self.code.last:
            metrics |= {f"first_answers/{name}": value for name, value in first.named().items()}
        if self.code.stragglers > 1:
            for losses, scores in list(by_losses.items())[1:]:
                metrics |= {f"losses_{losses}/{name}": value for name, value in scores.named().items()}
        for count, scores in by_answers.items():
            metrics |= {f"answers_{count}/{name}": value for name, value in scores.named().items()}
        for sigma, noise_scores in noisy.items():
            prefix = f"wrong_{self.code.byzantine}_sigma_{sigma:g}"
            metrics[f"{prefix}/located"] = float(noise_scores.located.compute())
            metrics |= {f"{prefix}/{name}": value for name, value in noise_scores.scores.named().items()}
        quality = task.quality
        overall = overall_quality(
            quality, metrics[f"no_loss_{quality}"], metrics[f"degraded_{quality}"], fractions_unavailable
        )
        return Evaluation(metrics, one_loss.by_class(available), overall)

    @torch.no_grad()
    def examples(self, samples: Samples, predictions: Tensor, seed: int, count: int) -> Examples:
        """The first groups of the grouping that :meth:`evaluate` uses, decoded from the first answers."""
        groups, _ = covering_groups(len(samples), self.code.k, seed, Alike(samples.labels, self.correlated))
        groups = groups[:count]
        queries = self._queries(samples, groups)
        coded = self.code.encode(queries)
        answered = self._first_answers.expand(len(groups), -1)
        decoded = self.code.decode(self._answers(coded), answered)
        labels = samples.labels[groups]
        return Examples(queries.cpu(), coded.cpu(), predictions[groups], decoded.cpu(), labels, "coded query")

    @torch.no_grad()
    def answered(self, samples: Samples, predictions: Tensor, seed: int) -> Iterator[AnsweredBatch]:
        """Groups that cover some samples, with the answers to their coded queries."""
        groups, counted = covering_groups(len(samples), self.code.k, seed, Alike(samples.labels, self.correlated))
        at_once = samples_at_once(samples.inputs.shape[1:], QUERIES_IN_BATCH, self.device)
        for rows in torch.arange(len(groups)).split(max(1, at_once // self.code.n)):
            chosen = groups[rows]
            yield AnsweredBatch(
                answers=self._answers(self.code.encode(self._queries(samples, chosen))),
                predictions=predictions[chosen].to(self.device),
                labels=samples.labels[chosen].to(self.device),
                counted=counted[rows].to(self.device),
            )

    def measure(self, batch: AnsweredBatch, patterns: Tensor, scores: LossScores) -> None:
        """Count all predictions of some groups under patterns of answers ``(P, n)``, true where one is there."""
        scores.update(*self.decoded(batch, patterns))

    def decoded(self, batch: AnsweredBatch, patterns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What every pattern decodes, the base model's own predictions and the labels, ``(M, ...)`` each."""
        decoded = [self.code.decode(batch.answers, pattern.expand(len(batch.answers), -1)) for pattern in patterns]
        counted = batch.counted
        return (
            torch.cat([predictions[counted] for predictions in decoded]),
            _repeated(batch.predictions[counted], len(patterns)),
            _repeated(batch.labels[counted], len(patterns)),
        )

    def patterns(self, losses: int) -> Tensor:
        """The ways in which so many answers can be missing, ``(P, n)``, true where one is there."""
        if losses == 0:
            return torch.ones(1, self.code.n, dtype=torch.bool, device=self.device)
        return loss_patterns(self.code.n, losses, PATTERNS).to(self.device)

    @property
    def _first_answers(self) -> Tensor:
        """The pattern ``(1, n)`` in which those that are sent last are missing."""
        answered = torch.zeros(1, self.code.n, dtype=torch.bool, device=self.device)
        answered[0, list(self.code.order[: self.code.needed])] = True
        return answered

    def _measure_noise(
        self, batch: AnsweredBatch, sigma: float, scores: "_NoiseScores", random: torch.Generator
    ) -> None:
        groups, n = batch.answers.shape[:2]
        order = torch.rand(groups, n, generator=random).argsort(dim=1).to(self.device)
        missing, wrong = order < self.code.stragglers, order >= n - self.code.byzantine
        noise = sigma * torch.randn(batch.answers.shape, generator=random).to(self.device)
        spread = wrong.view(groups, n, *[1] * (noise.dim() - 2))
        answers = torch.where(spread, batch.answers + noise, batch.answers)
        found = self.code.wrong(answers, ~missing)
        scores.located.update(found[wrong].float())
        decoded, counted = self.code.decode(answers, ~missing & ~found), batch.counted
        scores.scores.update(decoded[counted], batch.predictions[counted], batch.labels[counted])

    def _queries(self, samples: Samples, groups: Tensor) -> Tensor:
        """The queries of groups ``(B, k)`` as networks see them, ``(B, k, C, H, W)``."""
        kept = samples.inputs[groups.flatten()].to(self.device)
        return self.normalise(kept).unflatten(0, groups.shape)

    def _answers(self, coded: Tensor) -> Tensor:
        answers: Tensor = self.base(coded.flatten(0, 1)).float()
        return answers.unflatten(0, coded.shape[:2])


def _repeated(tensor: Tensor, times: int) -> Tensor:
    return tensor.repeat(times, *[1] * (tensor.dim() - 1))


@dataclass(frozen=True)
class _NoiseScores:
    scores: LossScores
    located: MeanMetric
