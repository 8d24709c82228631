"""The figures of a measured code: overall quality, quality by class, some groups, and how training went."""

import re

from matplotlib.figure import Figure
from pandas import DataFrame

from parity_exp.analysis.figures import codes
from parity_exp.training import Measured


def code_figures(measured: Measured, history: DataFrame | None, base_history: DataFrame | None) -> dict[str, Figure]:
    """Figures by the names of their files.

    Args:
        measured: what was measured of the code.
        history: a row an epoch of the coded model, or of whatever was trained; None where nothing was.
        base_history: a row an epoch of the base model; None where it was not trained here.
    """
    evaluation, splits, task = measured.evaluation, measured.splits, measured.splits.task
    scores, quality = evaluation.metrics, task.quality
    pictures = {
        f"overall_{quality}": codes.overall_quality(
            evaluation.overall,
            quality,
            scores.get(f"no_loss_{quality}", scores[f"available_{quality}"]),
            measured.default_quality,
        ),
        "groups": codes.groups(measured.examples(), task, splits.mean, splits.std),
    }
    if "per_class" in measured.tables:
        pictures["degraded_by_class"] = codes.quality_by_class(evaluation.per_class, quality)
    answers = {
        int(found[1]): value
        for name, value in scores.items()
        if (found := re.fullmatch(rf"answers_(\d+)/degraded_{quality}", name))
    }
    if answers:
        pictures["quality_by_answers"] = codes.quality_by_answers(answers, quality, scores[f"available_{quality}"])
    curves = [one for one in (history, base_history) if one is not None]
    if curves:
        pictures["learning_curves"] = codes.learning_curves(curves[0], curves[1] if len(curves) > 1 else None)
    return pictures
