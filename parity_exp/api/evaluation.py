"""Measure a trained code again, from a program or a notebook."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity_exp.api.objects import Data, splits_of
from parity_exp.api.results import Evaluated
from parity_exp.process.quiet import quiet_libraries
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import Machine, Measuring, TrainedParts, measure
from parity_exp.training.measuring import FRACTIONS


def evaluate(
    trained: Evaluated | TrainedParts | str | Path,
    data: Data | None = None,
    *,
    seed: int = 0,
    groupings: int = 1,
    fractions_unavailable: Sequence[float] = FRACTIONS,
    noise_sigmas: Sequence[float] = (1, 10, 100),
    accelerator: Any = "auto",
    trust: Sequence[str] = (),
    folder: str | Path | None = None,
) -> Evaluated:
    """Measure a code with its trained networks on the test split::

        from parity_exp import evaluate

        print(evaluate("outputs/train/2026-01-31/12-00-00", groupings=5).table)

    Args:
        trained: what :func:`parity_exp.train` gave back, a run directory, or the networks and their code.
        data: a data set, its splits, or inputs and labels; None: the data that it was trained on.
        seed: of the grouping.
        groupings: random groupings to average over.
        fractions_unavailable: the f_u to give the overall quality at.
        noise_sigmas: standard deviations of what is added to wrong answers, where a code looks for these.
        accelerator: where to run, as Lightning calls it: ``auto``, ``cpu``, ``gpu``.
        trust: modules of your own that the config of a run directory may name.
        folder: where to write a run directory; only of what has one itself, whose config it takes over.

    Returns:
        Metrics, tables and figures.

    Raises:
        ValueError: arguments that do not go together.
        UserError: a run directory that is missing, damaged, or not to be trusted, or a folder that holds another run.
    """
    quiet_libraries()
    how = Measuring(seed, groupings, fractions_unavailable, noise_sigmas)
    device = Machine.of(accelerator=accelerator).device
    source = trained.folder if isinstance(trained, Evaluated) else None
    if isinstance(trained, str | Path):
        from parity_exp.api.described import stored_parts  # with Hydra, which nothing else needs

        source = Path(trained)
        parts, splits = stored_parts(source, trust, None if data is None else splits_of(data))
    elif isinstance(trained, TrainedParts):
        if data is None:
            raise ValueError("data: networks and a code do not say on what they are to be measured; give data")
        parts, splits = trained, splits_of(data)
    else:
        parts, splits = trained.parts, trained.measured.splits if data is None else splits_of(data)
    if folder is not None and (source is None or data is not None):
        raise ValueError(
            "folder: only what has a run directory of its own can be evaluated into one, on its own data; give folder "
            "to train, or leave it out here"
        )
    if folder is not None and source is not None:
        from parity_exp.api.described import begin_evaluation

        begin_evaluation(RunDirectory(folder), source, splits, how, trust)
    evaluated = Evaluated(parts, measure(parts, splits, device, how))
    return evaluated if folder is None else evaluated.kept(RunDirectory(folder))
