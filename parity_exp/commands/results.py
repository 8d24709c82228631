"""From trained networks to what a person and a script look at: metrics, tables, figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from torch import nn

from parity_exp.analysis import figures
from parity_exp.analysis.tables import show
from parity_exp.commands.assembly import Experiment
from parity_exp.data import Samples
from parity_exp.files import write_text
from parity_exp.models import load_weights
from parity_exp.run_directory import RunDirectory
from parity_exp.tracking import Tracker
from parity_exp.training import Evaluation

EXAMPLE_GROUPS = 4


def load_trained(experiment: Experiment, trained: RunDirectory, key: str) -> tuple[nn.Module, list[nn.Module]]:
    """The base model and the parity models of a run, and its encoder and decoder inside the experiment's code.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    base = experiment.new_base_network()
    parities = experiment.new_parity_networks()
    load_weights(trained.checkpoint("base"), base, key)
    for row, network in enumerate(parities):
        load_weights(trained.checkpoint(f"parity-{row}"), network, key)
    for part, coder in (("encoder", experiment.code.encoder), ("decoder", experiment.code.decoder)):
        if coder.state_dict():
            load_weights(trained.checkpoint(part), coder, key)
    return base, parities


def evaluate_test_split(
    experiment: Experiment,
    base: nn.Module,
    parities: list[nn.Module],
    run: RunDirectory,
    tracker: Tracker,
    training: dict[str, float],
    histories: Sequence[Path] = (),
) -> dict[str, float]:
    """Measure a code on the test split; write metrics, tables and figures; tell the tracker; print a table.

    Args:
        experiment: with its code trained.
        base: the trained base model.
        parities: the trained parity models.
        run: where to write.
        tracker: is told everything.
        training: metrics of the training before, if this job trained.
        histories: the coded model's and the base model's history, if this job trained.

    Returns:
        Everything in ``metrics.json``.
    """
    splits, settings = experiment.splits, experiment.config.evaluation
    test = Samples(splits.normalise(splits.test.inputs), splits.test.labels)
    predictions = experiment.predictions(base, splits.test.inputs)
    evaluator = experiment.evaluator(parities)
    evaluation = evaluator.evaluate(
        test, predictions, splits.class_names, settings.fractions_unavailable, settings.seed, settings.groupings
    )
    metrics = {f"test/{name}": value for name, value in evaluation.metrics.items()} | training
    tables = {"per_class": evaluation.per_class, "overall": evaluation.overall}
    for name, table in tables.items():
        write_text(run.path / f"{name}.csv", table.to_csv(index=False))

    pictures = {
        "degraded_by_class": figures.accuracy_by_class(evaluation.per_class),
        "overall_accuracy": figures.overall_accuracy(
            evaluation.overall, evaluation.metrics["available_accuracy"], splits.classes
        ),
        "groups": figures.groups(
            evaluator.examples(test, predictions, settings.seed, EXAMPLE_GROUPS),
            splits.class_names,
            splits.mean,
            splits.std,
        ),
    }
    curves = [pd.read_csv(path) for path in histories if path.is_file()]
    if curves:
        pictures["learning_curves"] = figures.learning_curves(curves[0], curves[1] if len(curves) > 1 else None)
    paths = figures.save(pictures, run.figures)

    # Last of the files: who sees metrics.json finds everything else in place.
    run.write_metrics(metrics)
    tracker.results(metrics, {**tables, "results": accuracy_table(evaluation)})
    tracker.figures(paths)
    title = (
        f"{experiment.config.dataset.name}, k={experiment.k}, r={experiment.r}: accuracy on {len(test):,} test queries"
    )
    show(title, accuracy_table(evaluation), f"run directory: {run.path}")
    return metrics


def accuracy_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row a kind of accuracy, a column a rank."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in evaluation.metrics.items():
        name, _, rank = key.partition("_top")
        rows.setdefault(name.replace("_", " "), {})[f"top-{rank or 1}"] = value
    return pd.DataFrame([{"": name, **values} for name, values in rows.items()])
