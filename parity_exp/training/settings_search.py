"""Choose the settings of a code that are open, such as a spline's weights, on validation data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
import torch

from parity_exp.coding import NonSystematicCode
from parity_exp.data import Samples
from parity_exp.tasks import Task
from parity_exp.training.non_systematic_evaluation import AnsweredBatch, NonSystematicEvaluator


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        settings: the best value of each open setting.
        quality: reconstruction quality on the validation groups with these.
        table: a row a choice: its settings and ``val/reconstruction_<quality>``.
    """

    settings: Mapping[str, float]
    quality: float
    table: pd.DataFrame


def least_missed(
    evaluator: NonSystematicEvaluator, samples: Samples, predictions: torch.Tensor, task: Task, seed: int
) -> tuple[int, ...]:
    """The S coded queries without whose answers predictions are rebuilt best; arguments as below."""
    batches = list(evaluator.answered(samples, predictions, seed))
    qualities: dict[tuple[int, ...], float] = {}
    for pattern in evaluator.patterns(evaluator.code.stragglers):
        missing = tuple((~pattern).nonzero()[:, 0].tolist())
        qualities[missing] = _quality(evaluator, batches, pattern[None], task)
    return max(qualities, key=qualities.__getitem__)


def search_settings(
    make_code: Callable[..., NonSystematicCode],
    make_evaluator: Callable[[NonSystematicCode], NonSystematicEvaluator],
    samples: Samples,
    predictions: torch.Tensor,
    task: Task,
    seed: int,
) -> Found:
    """Try every combination of values of the open settings.

    The best has the highest reconstruction quality with S answers missing, mean over which, for that is how groups are
    decoded in serving: as soon as n - S answers are there. Coded queries are answered once for each encoding matrix.

    Args:
        make_code: makes the code from settings by name; without any it says which are open.
        make_evaluator: runs the base model on a code's coded queries.
        samples: validation queries and labels.
        predictions: the base model's, ``(N, *out)``.
        task: scores predictions.
        seed: seed of the grouping.
    """
    open_settings = make_code().open_settings()
    answered: dict[bytes, list[AnsweredBatch]] = {}
    rows: list[dict[str, float]] = []
    column = f"val/reconstruction_{task.quality}"
    for values in product(*open_settings.values()):
        settings = dict(zip(open_settings, values, strict=True))
        evaluator = make_evaluator(make_code(**settings))
        key = evaluator.code.encoding.numpy().tobytes()
        if key not in answered:
            answered = {key: list(evaluator.answered(samples, predictions, seed))}
        patterns = evaluator.patterns(evaluator.code.stragglers)
        rows.append(settings | {column: _quality(evaluator, answered[key], patterns, task)})
    best = max(rows, key=lambda row: row[column])
    return Found({name: best[name] for name in open_settings}, best[column], pd.DataFrame(rows))


def _quality(
    evaluator: NonSystematicEvaluator, batches: Sequence[AnsweredBatch], patterns: torch.Tensor, task: Task
) -> float:
    """Mean reconstruction quality over all predictions and patterns."""
    total, count = 0.0, 0
    for batch in batches:
        decoded, own, _ = evaluator.decoded(batch, patterns)
        scores = task.scores(decoded, task.answer(own))[task.quality]
        total += float(scores.sum())
        count += len(scores)
    return total / count
