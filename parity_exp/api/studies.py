"""Train a study, measure it, and give back everything that came of it."""

from pathlib import Path

import pandas as pd

from parity_exp.api.results import Evaluated
from parity_exp.training import Measuring, Study, Training, measure, train_study


def train_and_measure(study: Study, training: Training, how: Measuring) -> Evaluated:
    """Train what a run directory does not have yet, and measure it on the test split.

    Args:
        study: what is trained on what.
        training: where, and who is told.
        how: how it is measured.
    """
    course = train_study(study, training, how.seed)
    run = training.run
    return Evaluated(
        course.parts,
        measure(course.parts, study.splits, study.machine.device, how),
        course.metrics,
        _rows(run.history),
        _rows(run.base_history),
    )


def _rows(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path) if path.is_file() else None
