"""From a config to the objects of an experiment; what each section comes to stands in a file of its own.

:class:`Experiment` puts the objects together; it is the same in training, in evaluation, and in every process of a
distributed phase.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from parity_exp.checks import SettingError
from parity_exp.coding import Code, FisherAveraging, NonSystematicCode, precision
from parity_exp.data import Dataset, Splits
from parity_exp.devices.backends import load_backends
from parity_exp.errors import ConfigError, DataError
from parity_exp.experiment.averaged_models import averaged_models, averaging_of, is_over_models, new_average
from parity_exp.experiment.backups import BACKUPS, backup_architecture, imitation_of, new_multiplexed_network
from parity_exp.experiment.chosen_task import with_alike_groups, with_task
from parity_exp.experiment.codes import code_of, generator_of, trained_parts
from parity_exp.experiment.components import build, is_systematic, new_non_systematic_code
from parity_exp.experiment.keys import key_of
from parity_exp.experiment.machine import machine_of, processes
from parity_exp.experiment.networks import architecture_for, architecture_of, new_labelled_network, new_parity_networks
from parity_exp.experiment.open_keys import is_open
from parity_exp.experiment.rehearsal import with_keys
from parity_exp.experiment.result_facts import base_facts, coded_facts, config_facts, content_facts
from parity_exp.experiment.schema import check_config
from parity_exp.files.identity import digest_of_weights
from parity_exp.models import load_weights
from parity_exp.models.places.sliding import has_sliding_kernels
from parity_exp.policies.policy import BACKUP, MULTIPLEXED
from parity_exp.process.quiet import quiet_libraries
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tasks import Task
from parity_exp.training import (
    AveragedModels,
    CodedModel,
    LabelledModel,
    Machine,
    Measuring,
    Objective,
    Optimisation,
    Study,
    WholeCode,
    predictions,
    usual_batch_groups,
)
from parity_exp.training.rehearsal import rehearse, rehearse_labelled


class Experiment:
    """The objects that a config describes, each made when it is first needed.

    Args:
        config: the resolved config.
        splits: the data, where they have been read already.
        trained: the run directory whose networks are used, which may say how queries are made; None: of none yet.

    Attributes:
        base_weights: where the trained base model is that small models learn from; whoever trains these sets it.

    Raises:
        ConfigError: a value is not what the schema says.
    """

    def __init__(self, config: DictConfig, splits: Splits | None = None, trained: RunDirectory | None = None) -> None:
        quiet_libraries()
        load_backends()
        check_config(config)
        self.config = config
        self.k: int = config.k
        self.r: int = config.r
        self.seed: int = config.seed
        self.base_weights: Path | None = None
        self._read = splits
        self._trained = trained
        if not config.parity.trainable and self.architecture("parity") != self.architecture("base"):
            raise ConfigError(
                "parity.trainable=false runs the base model on parity queries, so parity.architecture must be the base "
                "model's; leave architecture@parity.architecture out, or set parity.trainable=true"
            )

    # ---- data

    @cached_property
    def splits(self) -> Splits:
        splits = self._read or self._load()
        smallest = min(len(splits.train), len(splits.validation), len(splits.test))
        if smallest < self.k:
            raise ConfigError(f"k={self.k}: dataset={self.config.dataset.name} has a split of {smallest} samples only")
        return splits

    def _load(self) -> Splits:
        dataset: Dataset = build(self.config.dataset, "dataset")
        if self._trained is not None:
            dataset.adopt(self._trained.path)
        try:
            splits = with_alike_groups(with_task(dataset.load(), self.config), self.config)
            splits.normalise(splits.train.inputs[:1])  # what does not fit the channels is refused here
        except SettingError as error:
            raise ConfigError(error.within("dataset").at(key_of)) from None
        except DataError as error:
            named = "dataset=" if error.text.startswith(f"{dataset.name}: ") else ""
            raise type(error)(f"{named}{error.at('dataset.')}") from None
        return splits

    @property
    def task(self) -> Task:
        return self.splits.task

    # ---- machine

    @cached_property
    def machine(self) -> Machine:
        """What training runs on."""
        return machine_of(self.config)

    @property
    def device(self) -> torch.device:
        """Where this process predicts and evaluates."""
        return self.machine.device

    # ---- networks

    def architecture(self, section: str) -> DictConfig:
        """The architecture of ``base``, ``parity``, ``backup`` or ``multiplexed_backup``."""
        return self._backup_architecture if section == BACKUP else architecture_of(self.config, section)

    @cached_property
    def _backup_architecture(self) -> DictConfig:
        return backup_architecture(self.config, self.splits)

    def fitted_architecture(self, section: str) -> DictConfig:
        """The same with what it leaves open about the data."""
        narrowed = section == BACKUP and self.config.backup.get("share") is not None
        return self.architecture(section) if narrowed else architecture_for(self.config, section, self.splits)

    def new_base_network(self, section: str = "base") -> nn.Module:
        """A network that learns labels, ``base``, ``backup`` or ``multiplexed_backup``, with random weights."""
        if section == MULTIPLEXED:
            return new_multiplexed_network(self.config, self.splits)
        return new_labelled_network(self.config, section, self.splits, self.fitted_architecture(section))

    def new_parity_networks(self) -> list[nn.Module]:
        """r networks that take the encoder's parity queries, with random weights."""
        if self.over_models:
            return [new_average(self.config, self.splits) for _ in range(self.r)]
        return new_parity_networks(self.config, self.code, self.splits)

    def predictions(self, base: nn.Module, inputs: Tensor) -> Tensor:
        """The base model's predictions for inputs as the data set has them, on the CPU."""
        return predictions(base, inputs, self.splits, self.device)

    def own_test_predictions(self, trained: RunDirectory) -> Tensor:
        """What the base model of a run predicts for the test split."""
        base = self.new_base_network()
        load_weights(trained.checkpoint("base"), base, "run")
        return self.predictions(base, self.splits.test.inputs)

    # ---- code

    @property
    def systematic(self) -> bool:
        """Whether queries are sent as they are: then there is a ``code``, otherwise a ``non_systematic_code``."""
        return is_systematic(self.config)

    @property
    def over_models(self) -> bool:
        """Whether a group holds one query's predictions by k different models."""
        return is_over_models(self.config)

    @property
    def non_systematic_code(self) -> NonSystematicCode:
        """The code of a run that trains nothing, as its config is now."""
        self.refuse_sums_of_tokens("code", self.config.code)
        return new_non_systematic_code(self.config.code, "code", self.k)

    def refuse_sums_of_tokens(self, key: str, node: DictConfig) -> None:
        """Refuse a code whose coded queries are sums of queries, where these are token ids.

        Raises:
            ConfigError: with the code's key.
        """
        if self.splits.texts is not None:
            name = str(node.get("_target_")).rpartition(".")[2]
            raise ConfigError(
                f"{key} ({name}): it adds up queries, and those of dataset={self.config.dataset.name} are token ids, "
                "of which sums mean nothing; choose code=parity with encoder=concat"
            )

    @cached_property
    def generator(self) -> Tensor:
        """The generator matrix, ``(r, k)``."""
        if self.over_models:
            return self.code.decoder.generator
        return generator_of(self.config)

    @cached_property
    def code(self) -> Code:
        """Encoder and decoder."""
        if self.over_models:
            return averaging_of(self.config, self.splits)
        return code_of(self.config, self.splits, self.generator)

    def warn_of_precision(self, key: str, name: object) -> None:
        """Say so where a precision that somebody chose is too low to decode."""
        precision.warn_of(self.generator, precision.format_named(name), f"{key}={name}")
        self.code.decoder.rounding.warned = True

    # ---- training

    @cached_property
    def study(self) -> Study:
        """What is trained on what."""
        backups = [self.labelled_model(section) for section in self.config.evaluation.get("backups") or ()]
        return Study(self.splits, self.labelled_model("base"), self._coded(), self.machine, backups)

    def _coded(self) -> CodedModel | WholeCode | AveragedModels:
        code = self.code if self.systematic else None
        if code is None:
            return WholeCode(self._whole_code, self.seed)
        if isinstance(code, FisherAveraging):
            return averaged_models(self.config, code, self.splits)
        return self.coded_model

    def trained_base(self) -> nn.Module:
        """The base model with the weights that :attr:`base_weights` names."""
        assert self.base_weights is not None, "whoever trains a small model says where the base model is"
        base = self.new_base_network()
        load_weights(self.base_weights, base, "base model of the run")
        return base

    def labelled_model(self, section: str) -> LabelledModel:
        """How the base model comes about, or a small one of an approximate backup.

        Args:
            section: ``base``, ``backup`` or ``multiplexed_backup``. Of the last two :attr:`base_weights` has to be
                known when they are trained.
        """
        settings = self.config[section]
        given: Any = settings.checkpoint
        if section != "base" and given is None and not settings.max_epochs:
            raise ConfigError(f"{section}.max_epochs=0: this model is not pretrained; set it to 1 or more")

        def load(network: nn.Module) -> None:
            if given is not None:
                load_weights(given, network, f"{section}.checkpoint")

        return LabelledModel(
            name=section,
            new_network=lambda: self.new_base_network(section),
            optimisation=self._optimisation(settings, f"{section}.", lambda: self._backup_convolves_apart(section)),
            epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            seed=settings.seed,
            given=load if given is not None or not settings.max_epochs else None,
            facts=lambda: self.base_facts(section),
            imitation=imitation_of(self.config, section, self.trained_base) if section in BACKUPS else None,
        )

    @cached_property
    def coded_model(self) -> CodedModel:
        """How the code and its parity models come about."""
        trained = trained_parts(self.config, self.code)
        return CodedModel(
            code=self.code,
            new_networks=self.new_parity_networks if self.config.parity.trainable else None,
            initialisation=build(self.config.initialisation, "initialisation"),
            trained=trained,
            objective=self._objective(),
            optimisation=self._optimisation(self.config, "", self._parity_convolves_apart),
            batch_groups=int(self.config.batch_groups or usual_batch_groups(self.k)),
            epochs=self.config.trainer.max_epochs,
            seed=self.seed,
            facts=self.coded_facts,
        )

    @property
    def measuring(self) -> Measuring:
        """How the code is measured."""
        settings = self.config.evaluation
        sigmas = [float(sigma) for sigma in settings.get("noise_sigmas") or ()]
        return Measuring(settings.seed, settings.groupings, settings.fractions_unavailable, sigmas)

    def _whole_code(self, **settings: Any) -> NonSystematicCode:
        return new_non_systematic_code(self.config.code, "code", self.k, **settings)

    def _objective(self) -> Objective:
        objective: Objective = build(self.config.objective, "objective")
        try:
            objective.check(self.task)
        except ValueError as error:
            name, task = self.config.dataset.name, type(self.task).__name__.lower()
            raise ConfigError(f"objective: {error}, but dataset={name} is for {task}; choose objective=mse") from None
        return objective

    def _parity_convolves_apart(self) -> bool:
        trained = self.config.parity.trainable and self.code.decoder.by_place
        return trained and has_sliding_kernels(self.new_parity_networks()[0])

    def _backup_convolves_apart(self, section: str) -> bool:
        return section == MULTIPLEXED and has_sliding_kernels(self.new_base_network(section))

    def _optimisation(self, section: DictConfig, prefix: str, convolutions_apart: Callable[[], bool]) -> Optimisation:
        steps = self.config.get("optimisation") or {}
        schedule, key = section.scheduler, "convolutions_apart"
        if isinstance(schedule, DictConfig) and is_open(OmegaConf.to_container(schedule), key):
            schedule = OmegaConf.merge(schedule, {key: convolutions_apart()})
        return Optimisation(
            build(section.optimizer, f"{prefix}optimizer"),
            build(schedule, f"{prefix}scheduler"),
            steps.get("accumulate_grad_batches", 1),
            steps.get("gradient_clip_val"),
        )

    def rehearse(self) -> None:
        """Find out what cannot work before anything is trained or written: one step on two groups, not taken.

        Raises:
            ConfigError: choices that do not go together, with the keys of both.
            CheckpointError: the user's base checkpoint is missing, unreadable, or of another network.
        """
        with with_keys():
            if self.systematic:
                processes(self.config.trainer)
                self.warn_of_precision("trainer.precision", self.config.trainer.precision)
            rehearse(self.study)
            for section in self.config.evaluation.get("backups") or ():
                rehearse_labelled(self.labelled_model(section), self.splits, self.machine)

    def rehearse_network(self, section: str) -> nn.Module:
        """Find out whether ``base`` or ``backup`` can be had as its section says; return it, untrained unless given.

        Raises:
            ConfigError: a value of the section that cannot be.
            CheckpointError: the user's checkpoint is missing, unreadable, or of another network.
        """
        with with_keys():
            return rehearse_labelled(self.labelled_model(section), self.splits, self.machine)

    # ---- what results are made from

    @cached_property
    def data_facts(self) -> dict[str, str]:
        """Hashes of the samples."""
        splits = self.splits
        return {"the data": splits.fingerprint(), "the test data": splits.test.fingerprint()}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What all results of the config are made from, data aside."""
        return config_facts(self.config) | content_facts(self.config)

    def base_facts(self, section: str = "base") -> dict[str, Any]:
        """Everything that determines the trained base model, or the backup."""
        count = processes(self.config.trainer)
        machine = {"processes": count, "device": self.device.type, "torch": torch.__version__}
        facts = base_facts(self._facts, section, self.architecture(section), self.data_facts["the data"], machine)
        if section not in BACKUPS:
            return facts
        if section == MULTIPLEXED:
            facts["k"] = self.k
        imitation = imitation_of(self.config, section, self.trained_base)
        return (
            facts if imitation is None else facts | {"the base model": digest_of_weights(imitation.base().state_dict())}
        )

    def coded_facts(self, base: nn.Module) -> dict[str, Any]:
        """Everything that determines the trained code, but how long it is trained and on what machine."""
        return coded_facts(self._facts, self.data_facts["the data"], base)
