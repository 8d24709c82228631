"""Measure a code with its trained networks on a split: metrics, tables, and some groups to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
import torch
from torch import Tensor

from parity_exp.coding import Code
from parity_exp.data import Splits
from parity_exp.tasks import Task
from parity_exp.training.coded_model import predictions
from parity_exp.training.costs import backup_costs, code_costs
from parity_exp.training.evaluation import Evaluation, Evaluator, Examples
from parity_exp.training.non_systematic_evaluation import NonSystematicEvaluator
from parity_exp.training.trained_parts import TrainedParts

EXAMPLE_GROUPS = 4

FRACTIONS = tuple(hundredths / 100 for hundredths in range(11))
"""The f_u that overall quality is given at, unless somebody wants others."""


@dataclass(frozen=True)
class Measuring:
    """How a code is measured.

    Attributes:
        seed: of the grouping.
        groupings: random groupings to average over.
        fractions_unavailable: the f_u to give the overall quality at.
        noise_sigmas: standard deviations of what is added to wrong answers, where a code looks for these.
    """

    seed: int = 0
    groupings: int = 1
    fractions_unavailable: Sequence[float] = FRACTIONS
    noise_sigmas: Sequence[float] = (1, 10, 100)


@dataclass(frozen=True)
class Measured:
    """What was measured on the test split.

    Attributes:
        evaluation: scores, and tables of them.
        costs: by their names without ``cost/``; none for a code without parity models and backups.
        evaluator: what has measured, for examples.
        predictions: the base model's, ``(N, *out)``.
        splits: the data set.
        seed: of the grouping.
    """

    evaluation: Evaluation
    costs: dict[str, float]
    evaluator: Evaluator | NonSystematicEvaluator = field(repr=False)
    predictions: Tensor = field(repr=False)
    splits: Splits = field(repr=False)
    seed: int

    @property
    def metrics(self) -> dict[str, float]:
        """By their keys in ``metrics.json``."""
        tested = {f"test/{name}": value for name, value in self.evaluation.metrics.items()}
        return tested | {f"cost/{name}": value for name, value in self.costs.items()}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Those that have rows, by the names of their files."""
        tables = {"per_class": self.evaluation.per_class, "overall": self.evaluation.overall}
        return {name: table for name, table in tables.items() if not table.empty}

    @property
    def default_quality(self) -> float:
        """How good the default prediction is, which clients get of what is lost without a code."""
        splits, task = self.splits, self.splits.task
        default = task.default(splits.train.labels).expand(len(splits.test), -1)
        return float(task.scores(default, splits.test.labels)[task.quality].mean())

    def examples(self) -> Examples:
        """The first groups of the grouping."""
        taken = self.evaluator.examples(self.splits.test, self.predictions, self.seed, EXAMPLE_GROUPS)
        texts = self.splits.texts
        if texts is None:
            return taken
        return replace(taken, texts=[[texts.text(query) for query in group] for group in taken.queries])


def measure(parts: TrainedParts, splits: Splits, device: torch.device, how: Measuring) -> Measured:
    """Measure a code on the test split.

    Args:
        parts: the code and its networks.
        splits: the data set.
        device: where copies of them run.
        how: how.
    """
    test, task = splits.test, splits.task
    own = predictions(parts.base, test.inputs, splits, device)
    task, test = task.knowing(own), splits.judged("test", own)
    splits = replace(splits, task=task, test=test)
    evaluator = parts.evaluator(splits, device, how.noise_sigmas)
    evaluation = evaluator.evaluate(test, own, task, how.fractions_unavailable, how.seed, how.groupings)
    if parts.members:  # what stands in for a model at no cost of training: the one that all have started from
        scores = stand_in_scores(own, own, test.labels, task)
        evaluation.metrics.update({f"start/{name}": value for name, value in scores.items() if "degraded" in name})
    costs = code_costs(parts.code, parts.base, parts.parity_models) if isinstance(parts.code, Code) else {}
    for name, network in parts.backups.items():
        outputs = predictions(network, test.inputs, splits, device)
        evaluation.metrics.update(
            {f"{name}/{score}": value for score, value in stand_in_scores(outputs, own, test.labels, task).items()}
        )
        costs |= backup_costs(name, network, parts.base, splits.query_shape, parts.code.k)
    return Measured(evaluation, costs, evaluator, own, splits, how.seed)


def stand_in_scores(outputs: Tensor, own: Tensor, labels: Tensor, task: Task) -> dict[str, float]:
    """How good the predictions of a small model are that stand in for those of the base model.

    Args:
        outputs: ``(N, *out)``, the small model's.
        own: ``(N, *out)``, the base model's.
        labels: ``(N, *label)``.
        task: scores predictions.

    Returns:
        ``degraded_<score>`` against the labels, ``reconstruction_<score>`` against the base model's own answers.
    """
    wanted = {"degraded": labels, "reconstruction": task.answer(own)}
    return {
        f"{kind}_{score}": float(values.mean())
        for kind, against in wanted.items()
        for score, values in task.scores(outputs, against).items()
    }


def validated_quality(parts: TrainedParts, splits: Splits, device: torch.device, seed: int) -> float:
    """Degraded quality on groups of the validation split: what sweepers and reports choose by."""
    samples, task = splits.validation, splits.task
    own = predictions(parts.base, samples.inputs, splits, device)
    samples = splits.judged("validation", own)
    measured = parts.evaluator(splits, device).evaluate(samples, own, task, (), seed)
    return measured.metrics[f"degraded_{task.quality}"]
