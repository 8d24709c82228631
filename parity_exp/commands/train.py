"""``train``: a base model, a code for it, and how good both are on the test split."""

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from torch import nn

from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.determined import EVALUATION_ALONE, LENGTH_AND_MACHINE, config_facts
from parity_exp.experiment.job import overlaid, resolved, tracked
from parity_exp.experiment.non_systematic import choose_settings, code_settled
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.phases import obtain_base, train_code
from parity_exp.experiment.results import evaluate_test_split, load_trained, validated_quality
from parity_exp.experiment.searching.pruning import pruned
from parity_exp.experiment.stored import stored_config
from parity_exp.files.identity import differences, listed, without
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker
from parity_exp.training import Fitted

VALIDATED = "train/best_val_degraded"
"""Metric of degraded quality in validation, before the quality's name."""

MAY_CHANGE_ON_RESUME = ("trainer", "tracker", "evaluation")
MAY_DIFFER_ON_RESUME = (*LENGTH_AND_MACHINE, *EVALUATION_ALONE)
"""What of that may come to another value: training in two ways would be told of as if it was in one."""


def run(composed: DictConfig) -> float:
    """Train, evaluate and write the run directory; return what sweepers maximise, degraded quality in validation."""
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    resumed = composed.resume is not None
    config = resolved(composed)
    if resumed:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise ConfigError("resume= goes on with one run and cannot be used with a multirun")
        stored = stored_config(RunDirectory.existing(composed.resume, "resume"), "resume", composed)
        config = overlaid(stored, config, MAY_CHANGE_ON_RESUME, "resume")
        check_unchanged(stored, config)
        check_length(directory, config.trainer.max_epochs)
    asked, config = config, code_settled(config)
    experiment = Experiment(config)
    experiment.rehearse()
    claim("train", asked, directory, experiment.data_facts, MAY_DIFFER_ON_RESUME if resumed else None)
    with tracked("train", config, directory, resumed) as tracker:
        metrics = train_and_evaluate(experiment, directory, tracker)
    return metrics[f"{VALIDATED}_{experiment.task.quality}"]


def check_unchanged(stored: DictConfig, config: DictConfig) -> None:
    """Refuse to go on with training in another way than it began.

    Raises:
        ConfigError: with the keys that differ.
    """
    before, now = (without(config_facts(one), MAY_DIFFER_ON_RESUME) for one in (stored, config))
    if differing := differences(before, now):
        raise ConfigError(
            f"resume={config.resume}: the rest would be trained in another way than what is done, and what differs is "
            f"{listed(differing)}; leave that as it was, or start a new run"
        )


def check_length(run: RunDirectory, wanted: object) -> None:
    """Refuse to end a run before the epochs that it has.

    Raises:
        ConfigError: with how many those are.
    """
    done = len(run.history.read_text().splitlines()) - 1 if run.history.is_file() else 0
    if isinstance(wanted, int) and 0 <= wanted < done:
        raise ConfigError(
            f"trainer.max_epochs={wanted}: {done} epochs are trained already; give as many or more, or start a new run"
        )


def train_and_evaluate(experiment: Experiment, directory: RunDirectory, tracker: Tracker) -> dict[str, float]:
    """Train what is not trained yet, measure it on the test split, and return the metrics."""
    listener = pruned(tracker.epoch, experiment.task.quality)
    base = obtain_base(experiment, directory, listener)
    if experiment.systematic:
        training = training_metrics(experiment, directory, train_code(experiment, directory, listener))
    else:
        training = choose_code(experiment, base, directory)
    base, parities = load_trained(experiment, directory, "run")
    training[f"{VALIDATED}_{experiment.task.quality}"] = validated_quality(experiment, base, parities)
    metrics = evaluate_test_split(
        experiment,
        base,
        parities,
        directory,
        tracker,
        training,
        [directory.history, directory.base_history],
    )
    tracker.checkpoints(sorted(directory.checkpoints.glob("*.ckpt")))
    return metrics


def choose_code(experiment: Experiment, base: nn.Module, run: RunDirectory) -> dict[str, float]:
    """What there is to do for a code that trains nothing: choose the settings that its config leaves open."""
    chosen = choose_settings(experiment, experiment.config.code, "code", base, run.path / "code_search.csv")
    run.write_config(experiment.config)
    return {f"train/{name}": value for name, value in chosen.items()} | base_costs(run)


def base_costs(run: RunDirectory) -> dict[str, float]:
    """``train/base_seconds``; nothing where the base model is a user's own."""
    if not run.base_history.is_file():
        return {}
    return {"train/base_seconds": float(pd.read_csv(run.base_history)["train/seconds"].sum())}


def training_metrics(experiment: Experiment, run: RunDirectory, fitted: Fitted) -> dict[str, float]:
    """How training went, from its histories.

    ``parity_seconds`` is what training the code took, validation included; ``base_seconds`` what training the base
    model took when it was trained, here or by an earlier job; a user's own model has none.
    """
    epochs_s = pd.read_csv(run.history)["train/seconds"]
    seconds = float(epochs_s.mean())
    costs = {"train/parity_seconds": float(epochs_s.sum())} | base_costs(run)
    queries = len(experiment.splits.train) // experiment.k * experiment.k
    return {
        "train/epochs": fitted.epochs,
        "train/best_epoch": fitted.best_epoch,
        f"train/best_val_reconstruction_{experiment.task.quality}": fitted.best_value,
        "train/seconds_per_epoch": seconds,
        "train/queries_per_second": queries / seconds,
        **costs,
    }
