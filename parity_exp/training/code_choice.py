"""Choose on validation data what a code over copies of the base model leaves open."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn

from parity_exp.coding import NonSystematicCode
from parity_exp.data import Samples, Splits
from parity_exp.training.coded_model import predictions
from parity_exp.training.non_systematic_evaluation import NonSystematicEvaluator
from parity_exp.training.settings_search import least_missed, search_settings

GROUPS = 500
"""Validation groups that choices are tried on."""


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Attributes:
        settings: numbers that the code's class takes, by name; none where none was open.
        last: the coded queries to send last; None where that was not open.
        metrics: the settings, and ``best_val_reconstruction_<quality>`` with them.
        table: a row a choice that was tried; None where nothing was tried.
    """

    settings: dict[str, float]
    last: list[int] | None
    metrics: dict[str, float]
    table: pd.DataFrame | None


def choose_settings(
    make_code: Callable[..., NonSystematicCode], base: nn.Module, splits: Splits, device: torch.device, seed: int
) -> Chosen:
    """Choose numbers that are open by reconstruction quality, then which coded queries are missed least.

    Args:
        make_code: makes the code, with settings by name in place of its own.
        base: the trained base model.
        splits: the data set.
        device: where the base model runs.
        seed: seed of the grouping.
    """

    def make_evaluator(code: NonSystematicCode) -> NonSystematicEvaluator:
        return NonSystematicEvaluator(code, base, device, splits.normalise, correlated=splits.correlated)

    code = make_code()
    nothing = Chosen({}, None, {}, None)
    if not code.open_settings() and (code.last is not None or not code.stragglers):
        return nothing
    samples, task = splits.validation, splits.task
    some = Samples(samples.inputs[: GROUPS * code.k], samples.labels[: GROUPS * code.k])
    on = some, predictions(base, some.inputs, splits, device), task, seed
    settings: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    table = None
    if code.open_settings():
        found = search_settings(make_code, make_evaluator, *on)
        settings, table = dict(found.settings), found.table
        metrics = {**found.settings, f"best_val_reconstruction_{task.quality}": found.quality}
    last = None
    if code.last is None and code.stragglers:
        last = list(least_missed(make_evaluator(make_code(**settings)), *on))
    return Chosen(settings, last, metrics, table)
