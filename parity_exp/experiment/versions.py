"""Versions of a model that an endpoint serves side by side: run directories by their numbers."""

from functools import cache, cached_property
from typing import Any

from omegaconf import DictConfig, ListConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.job import overlaid, resolved
from parity_exp.experiment.sections import SERVED, changed_by
from parity_exp.experiment.serving import ServingPlan
from parity_exp.experiment.stored import stored_config
from parity_exp.experiment.trained_run import load_trained, warn_if_unfinished
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker
from parity_exp.training import belongs

OWN = changed_by("endpoint")

WANTED = "give run=RUN, run='[OLDER,NEWER]', or with numbers of your own run='{1: RUN, 4: NEWER}'"


class Version:
    """A version of the model: a trained run, and how it is served.

    Args:
        number: that clients know it by.
        trained: whose checkpoints.
        composed: the config of this job.

    Attributes:
        config: the run's own, with what this job changes.

    Raises:
        ConfigError: this job gives what a run cannot change any more.
    """

    def __init__(self, number: str, trained: RunDirectory, composed: DictConfig) -> None:
        self.number = number
        self.trained = trained
        own = composed.copy()
        own.run = str(trained.path)
        stored = stored_config(trained, "run", own, (*SERVED, *OWN))
        self.config = overlaid(stored, resolved(own), (*changed_by("serve"), *OWN), "run", (*SERVED, *OWN))

    @cached_property
    def experiment(self) -> Experiment:
        """What has been trained."""
        made = Experiment(self.config, trained=self.trained)
        made.base_weights = self.trained.checkpoint("base")
        return made

    @cache  # noqa: B019 - as many as there are versions
    def plan(self) -> ServingPlan:
        """How it is served, once what the run has is known to be whole.

        Raises:
            ConfigError: a value that cannot be.
            CheckpointError: a checkpoint is missing or damaged.
        """
        if self.experiment.over_models:
            raise ConfigError(
                "run: its code is over k models, of each of which a query wants a prediction; an endpoint has one "
                "model; take a run of code=parity"
            )
        made = ServingPlan(self.experiment)
        load_trained(self.experiment, self.trained, "run")
        warn_if_unfinished(self.trained)
        return made

    def arguments(self, directory: RunDirectory, tracker: Tracker) -> dict[str, Any]:
        """Arguments of :func:`parity_exp.serve_live`; small models that are missing are trained, into a directory."""
        plan = self.plan()
        backups = {
            name: self.trained
            if belongs(self.experiment.labelled_model(name), self.trained.checkpoint(name))
            else directory
            for name in plan.backups
        }
        given = plan.arguments(self.trained, backups, directory, tracker)
        for name in ("labels", "load"):
            given.pop(name)
        return given | {"prepare": self.experiment.splits.from_clients, "version": self.number}


def versions_of(given: object) -> dict[str, RunDirectory]:
    """Run directories by version, the newest last, which is the one with the highest number.

    Args:
        given: the config's ``run``, checked: a path, several, or paths by number.

    Raises:
        ConfigError: there is none, or a number is none.
        UserError: one of them is no run directory.
    """
    if given is None:
        raise ConfigError("run: endpoint needs the run directory of a `train`; give run=outputs/train/<date>/<time>")
    if isinstance(given, DictConfig | dict):
        by_number = {_number(key): path for key, path in given.items()}
    else:
        several = list(given) if isinstance(given, ListConfig | list | tuple) else [given]
        by_number = dict(enumerate(several, start=1))
    return {str(number): RunDirectory.existing(by_number[number], "run") for number in sorted(by_number)}


def _number(key: object) -> int:
    text = str(key)
    if not text.isascii() or not text.isdigit() or not int(text) or len(text) > 9:
        raise ConfigError(f"run: version {text!r} is no whole number above 0; {WANTED}")
    return int(text)
