"""From trained networks to what a person and a script look at: metrics, tables, figures."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor, nn

from parity_exp.analysis.figures import codes
from parity_exp.analysis.figures.files import save
from parity_exp.analysis.tables.quality import quality_table, score_name
from parity_exp.analysis.tables.terminal import show
from parity_exp.experiment.assembly import Experiment
from parity_exp.files.writing import write_text
from parity_exp.models import load_weights
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tasks import Task
from parity_exp.tracking import Tracker
from parity_exp.training import code_costs

log = logging.getLogger(__name__)

EXAMPLE_GROUPS = 4


def warn_if_unfinished(trained: RunDirectory) -> None:
    """Say so where a run is measured or served whose training has not ended."""
    if not trained.metrics.is_file():
        log.warning("run=%s: it has no metrics.json, so its training has not ended; go on with resume=", trained.path)


def load_trained(experiment: Experiment, trained: RunDirectory, key: str) -> tuple[nn.Module, list[nn.Module]]:
    """The base model and the parity models of a run, and its encoder and decoder inside the experiment's code.

    Of a non-systematic code there is only the base model.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    base = experiment.new_base_network()
    load_weights(trained.checkpoint("base"), base, key)
    if not experiment.systematic:
        return base, []
    parities = experiment.new_parity_networks()
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
    splits, task, settings = experiment.splits, experiment.task, experiment.config.evaluation
    test = splits.test
    predictions = experiment.predictions(base, splits.test.inputs)
    evaluator = experiment.evaluator(base, parities)
    evaluation = evaluator.evaluate(
        test, predictions, task, settings.fractions_unavailable, settings.seed, settings.groupings
    )
    metrics = {f"test/{name}": value for name, value in evaluation.metrics.items()} | training
    if experiment.systematic:
        costs = code_costs(experiment.code, base, parities)
        metrics |= {f"cost/{name}": value for name, value in costs.items()}
    tables = {"per_class": evaluation.per_class, "overall": evaluation.overall}
    tables = {name: table for name, table in tables.items() if not table.empty}
    for name, table in tables.items():
        write_text(run.path / f"{name}.csv", table.to_csv(index=False))

    paths: list[Path] = []
    with beside("figures"):
        examples = evaluator.examples(test, predictions, settings.seed, EXAMPLE_GROUPS)
        pictures = {
            f"overall_{task.quality}": codes.overall_quality(
                evaluation.overall,
                task.quality,
                evaluation.metrics.get(f"no_loss_{task.quality}", evaluation.metrics[f"available_{task.quality}"]),
                default_quality(task, splits.train.labels, splits.test.labels),
            ),
            "groups": codes.groups(examples, task, splits.mean, splits.std),
        }
        if "per_class" in tables:
            pictures["degraded_by_class"] = codes.quality_by_class(evaluation.per_class, task.quality)
        curves = [pd.read_csv(path) for path in histories if path.is_file()]
        if curves:
            pictures["learning_curves"] = codes.learning_curves(curves[0], curves[1] if len(curves) > 1 else None)
        paths = save(pictures, run.figures)

    # Last of the files: who sees metrics.json finds everything else in place.
    run.write_metrics(metrics)
    tracker.results(metrics, {**tables, "results": quality_table(evaluation.metrics)})
    tracker.figures(paths)
    title = (
        f"{experiment.config.dataset.name}, k={experiment.k}, r={experiment.r}: "
        f"{score_name(task.quality)} on {len(test):,} test queries"
    )
    show(title, quality_table(evaluation.metrics), f"run directory: {run.path}")
    return metrics


def validated_quality(experiment: Experiment, base: nn.Module, parities: list[nn.Module]) -> float:
    """Degraded quality on groups of the validation split: what sweepers and reports choose by."""
    samples, task, seed = experiment.splits.validation, experiment.task, experiment.config.evaluation.seed
    predictions = experiment.predictions(base, samples.inputs)
    measured = experiment.evaluator(base, parities).evaluate(samples, predictions, task, (), seed)
    return measured.metrics[f"degraded_{task.quality}"]


def default_quality(task: Task, train_labels: Tensor, test_labels: Tensor) -> float:
    """How good the default prediction is, which clients get of what is lost without a code."""
    default = task.default(train_labels).expand(len(test_labels), -1)
    return float(task.scores(default, test_labels)[task.quality].mean())
