"""From a config to the objects of an experiment.

:class:`Experiment` puts the objects together; it is the same in training, in evaluation, and in every process of a
distributed phase.
"""

import copy
import logging
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from torch import Tensor, nn

import parity_exp
from parity_exp.coding import Code, Decoder, NonSystematicCode, precision
from parity_exp.data import BaseDataModule, GroupBatch, GroupDataModule, Splits
from parity_exp.devices.backends import load_backends
from parity_exp.errors import ConfigError
from parity_exp.experiment import library_errors
from parity_exp.experiment.components import (
    build,
    build_checked,
    is_systematic,
    new_non_systematic_code,
)
from parity_exp.experiment.determined import (
    EVALUATION_ALONE,
    LENGTH_AND_MACHINE,
    MACHINE,
    NOT_OF_BASE,
    SERVING_ALONE,
    config_facts,
    content_facts,
)
from parity_exp.experiment.schema import check_config
from parity_exp.files.identity import digest_of_weights, hashed, without
from parity_exp.models import load_weights, predict
from parity_exp.process import world
from parity_exp.process.quiet import quiet_libraries
from parity_exp.tasks import Task
from parity_exp.training import (
    Acceleration,
    BaseModule,
    CodedModule,
    Evaluator,
    NonSystematicEvaluator,
    Objective,
    Optimisation,
    TrainedModule,
)
from parity_exp.training.accelerators import computing_device, own_strategy

log = logging.getLogger(__name__)

BASE_WEIGHTS, PARITY_WEIGHTS, CODE_WEIGHTS = 1, 2, 3
"""Independent streams of random initial weights."""

ACCELERATION = ("cuda_graphs", "tf32", "channels_last")
"""Keys of the trainer that say how it uses a GPU; see :class:`parity_exp.training.Acceleration`."""

OWN_TRAINER_KEYS = {"accumulate_grad_batches", "gradient_clip_val", *ACCELERATION}
"""Keys of the trainer that are not Lightning's: the LightningModules take the optimizer's steps themselves."""

CACHE_VERSION = 2
"""Raised when training a base model changes in a way that its config does not show."""


def processes(trainer: DictConfig) -> int:
    """How many processes the trainer's settings ask for, on all machines.

    Raises:
        ConfigError: they name no number of processes, or another one than were started.
    """
    nodes: int = trainer.get("num_nodes", 1)
    count = nodes * (1 if trainer.strategy == "auto" else _devices(trainer))
    if world.size() > 1 and count != world.size():
        raise ConfigError(
            f"trainer: its settings ask for {count} processes, and {world.size()} were started together; choose "
            "trainer=ddp or trainer=ddp_cpu, and leave trainer.devices and trainer.num_nodes as they are"
        )
    if nodes > 1 and world.size() == 1:
        raise ConfigError(
            f"trainer.num_nodes={nodes}: processes on other machines are started from outside, by torchrun or by "
            "hydra/launcher=submitit_slurm; this one was started alone"
        )
    return count


def _devices(trainer: DictConfig) -> int:
    devices = trainer.devices
    if devices in ("auto", -1, "-1"):
        return max(1, torch.cuda.device_count())
    try:
        count = int(devices)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise ConfigError(f"trainer.devices={devices}: expected the number of processes, or auto")
    return count


class Experiment:
    """The objects that a config describes, each made when it is first needed.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value is not what the schema says.
    """

    def __init__(self, config: DictConfig) -> None:
        quiet_libraries()
        load_backends()
        check_config(config)
        self.config = config
        self.k: int = config.k
        self.r: int = config.r
        self.seed: int = config.seed
        self._check_choices()

    # ---- data

    @cached_property
    def splits(self) -> Splits:
        splits: Splits = build(self.config.dataset, "dataset").load()
        smallest = min(len(splits.train), len(splits.validation), len(splits.test))
        if smallest < self.k:
            raise ConfigError(f"k={self.k}: dataset={self.config.dataset.name} has a split of {smallest} samples only")
        return splits

    @property
    def task(self) -> Task:
        return self.splits.task

    @cached_property
    def device(self) -> torch.device:
        """Where this process predicts and evaluates; see :mod:`parity_exp.devices.placement`."""
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        return computing_device(self._accelerator, self.config.trainer.get("devices", 1), rank)

    @cached_property
    def _accelerator(self) -> Any:
        """The trainer's: a name, or an object of a class that its config names."""
        node = self.config.trainer.accelerator
        return build(node, "trainer.accelerator") if isinstance(node, DictConfig) else node

    # ---- networks

    def architecture(self, section: str) -> DictConfig:
        """The architecture of ``base``, ``parity`` or ``backup``."""
        return self.config[section].architecture or self.config.architecture

    def new_base_network(self, section: str = "base") -> nn.Module:
        """A network that learns labels, ``base`` or ``backup``, with random weights."""
        key = "architecture" if section == "base" else f"{section}.architecture"
        with self._random_weights(BASE_WEIGHTS, self.config[section].seed):
            return self._network(self.architecture(section), key, self.splits.query_shape, self.task.outputs)

    def new_parity_networks(self) -> list[nn.Module]:
        """r networks that take the encoder's parity queries, with random weights."""
        with self._random_weights(PARITY_WEIGHTS, self.seed):
            shape, outputs = self.code.encoder.parity_shape, self.parity_outputs
            architecture = self.architecture("parity")
            return [self._network(architecture, "parity.architecture", shape, outputs) for _ in range(self.r)]

    @property
    def parity_outputs(self) -> int:
        """Numbers that a parity model outputs: one prediction's, and those that only the decoder makes sense of."""
        return self.task.outputs + self.code.decoder.extra_outputs

    def initial_parity_networks(self, base: nn.Module) -> list[nn.Module]:
        """The parity networks as training finds them."""
        if not self.config.parity.trainable:
            return [copy.deepcopy(base) for _ in range(self.r)]
        networks = self.new_parity_networks()
        initialisation = build(self.config.initialisation, "initialisation")
        centre = self.task.centre(self.splits.train.labels).expand(1, self.k, -1)
        with self._random_weights(PARITY_WEIGHTS, self.seed):
            for row, (network, middle) in enumerate(zip(networks, self.code.targets(centre)[0], strict=True)):
                initialisation(network, base, self.code.encoder, row, middle)
        return networks

    def _network(self, architecture: DictConfig, key: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
        network: nn.Module = build(architecture, key, input_shape=shape, outputs=outputs)
        target = architecture.get("_target_")
        try:
            with torch.no_grad():
                output = network.eval()(torch.zeros(2, *shape))
        except Exception as error:
            # It may be anybody's network, which fails in whatever way it likes.
            reason = library_errors.explained(error) or library_errors.in_one_line(error)
            raise ConfigError(f"{key} ({target}) cannot take queries of shape {shape}: {reason}") from None
        if not isinstance(output, Tensor) or output.shape != (2, outputs):
            raise ConfigError(f"{key} ({target}) must output ({outputs},) for a query of shape {shape}")
        return network.train()

    # ---- code

    @property
    def systematic(self) -> bool:
        """Whether queries are sent as they are: then there is a ``code``, otherwise a ``non_systematic_code``."""
        return is_systematic(self.config)

    @property
    def non_systematic_code(self) -> NonSystematicCode:
        """The code of a run that trains nothing, as its config is now."""
        return new_non_systematic_code(self.config.code, "code", self.k)

    @cached_property
    def generator(self) -> Tensor:
        """The generator matrix, ``(r, k)``.

        Raises:
            ConfigError: a pattern of up to r losses cannot be repaired with it.
        """
        generator: Tensor = build(self.config.generator, "generator").matrix(self.k, self.r)
        if not precision.growth(generator) < precision.SINGULAR:
            name = self.config.generator.get("_target_")
            raise ConfigError(
                f"generator ({name}): with k={self.k} and r={self.r} some losses cannot be repaired, for a square part "
                "of its matrix has no inverse; choose generator=chebyshev"
            )
        return generator

    def warn_of_precision(self, key: str, name: object) -> None:
        """Say so where a precision that somebody chose is too low to decode."""
        precision.warn_of(self.generator, precision.format_named(name), f"{key}={name}")
        self.code.decoder.rounding.warned = True

    @cached_property
    def code(self) -> Code:
        shape = self.splits.query_shape
        generator = self.generator
        with self._random_weights(CODE_WEIGHTS, self.seed):
            encoder = build(self.config.encoder, "encoder", k=self.k, r=self.r, query_shape=shape, generator=generator)
            decoder = build(
                self.config.decoder, "decoder", k=self.k, r=self.r, output_shape=(self.task.outputs,),
                generator=generator,
            )  # fmt: skip
        self._check_extra_outputs(decoder)
        for key, part in (("encoder", encoder), ("decoder", decoder)):
            if self._is_trainable(key, part) and not list(part.parameters()):
                name = type(part).__name__
                raise ConfigError(f"{key}.trainable=true: {name} has nothing to train; set {key}.trainable=false")
        if self.config.get("code") is None:
            return Code(encoder, decoder)
        return build_checked(self.config.code, "code", Code, encoder=encoder, decoder=decoder)

    def _check_extra_outputs(self, decoder: Decoder) -> None:
        """Refuse extra outputs that nobody reads or nobody learns."""
        wanted = self.config.parity.extra_outputs
        if wanted is not None and wanted != decoder.extra_outputs:
            raise ConfigError(
                f"parity.extra_outputs={wanted}: decoder ({type(decoder).__name__}) reads {decoder.extra_outputs}; "
                "choose decoder=residual, or leave parity.extra_outputs out"
            )
        if decoder.extra_outputs and not self.config.parity.trainable:
            raise ConfigError(
                "parity.trainable=false: the base model runs the parity queries then, and has no extra outputs for the "
                f"decoder ({type(decoder).__name__}); choose decoder=subtraction or decoder=mlp, or "
                "set parity.extra_outputs=0"
            )

    def _is_trainable(self, key: str, part: nn.Module) -> bool:
        """What the config says; where it says nothing, parts with parameters are trained."""
        trainable = self.config[key].get("trainable")
        return bool(list(part.parameters())) if trainable is None else bool(trainable)

    def _check_choices(self) -> None:
        """Refuse combinations that cannot work and that the config alone shows."""
        config = self.config
        if not config.parity.trainable and self.architecture("parity") != self.architecture("base"):
            raise ConfigError(
                "parity.trainable=false runs the base model on parity queries, so parity.architecture must be the base "
                "model's; leave architecture@parity.architecture out, or set parity.trainable=true"
            )

    # ---- training

    @property
    def batch_groups(self) -> int:
        """Groups in a training batch; ParM's rule unless the config says otherwise."""
        return int(self.config.batch_groups or (64 if self.k == 2 else 32))

    def make_trainer(self, max_epochs: int) -> Callable[..., Trainer]:
        """A factory of Trainers that adds callbacks and plugins to the config's."""

        def make(**settings: Any) -> Trainer:
            node = {name: value for name, value in self.config.trainer.items() if name not in OWN_TRAINER_KEYS}
            places = node.get("devices", 1), node.get("strategy", "auto"), node.get("precision", "32-true")
            strategy = own_strategy(self._accelerator, *places)
            if strategy is not None:
                settings |= {"accelerator": self._accelerator, "strategy": strategy}
            trainer: Trainer = build(OmegaConf.create(node), "trainer", max_epochs=max_epochs, **settings)
            return trainer

        return make

    @property
    def acceleration(self) -> Acceleration:
        """How training uses a GPU; runs of before there was a choice use all its means."""
        return Acceleration(**{name: bool(self.config.trainer.get(name, True)) for name in ACCELERATION})

    def base_phase(self, section: str = "base") -> tuple[TrainedModule, BaseDataModule]:
        """What trains the base model, or the small one of an approximate backup."""
        settings = self.config[section]
        network, optimisation = self.new_base_network(section), self.base_optimisation(section)
        module = BaseModule(network, self.task, optimisation, settings.seed)
        return module, BaseDataModule(self.splits, settings.batch_size, settings.seed)

    def coded_phase(self, base: nn.Module) -> tuple[CodedModule, GroupDataModule]:
        """What trains the code, given the trained base model."""
        train_predictions = self.predictions(base, self.splits.train.inputs)
        self.code.decoder.calibrate(train_predictions)
        data = GroupDataModule(
            self.splits,
            self.k,
            self.code.encoder.prepare,
            train_predictions,
            self.predictions(base, self.splits.validation.inputs),
            self.batch_groups,
            self.seed,
        )
        return self._coded_module(base), data

    def _coded_module(self, base: nn.Module) -> CodedModule:
        objective = self._objective()
        networks = self.initial_parity_networks(base)
        parts: dict[str, list[nn.Module]] = {
            "encoder": [self.code.encoder],
            "decoder": [self.code.decoder],
            "parity": networks,
        }
        frozen = [part for key, modules in parts.items() if not self._trained[key] for part in modules]
        optimisation = self._optimisation(self.config, "")
        return CodedModule(self.code, networks, self.task, objective, optimisation, self.seed, frozen)

    def _objective(self) -> Objective:
        objective: Objective = build(self.config.objective, "objective")
        try:
            objective.check(self.task)
        except ValueError as error:
            name, task = self.config.dataset.name, type(self.task).__name__.lower()
            raise ConfigError(f"objective: {error}, but dataset={name} is for {task}; choose objective=mse") from None
        return objective

    @cached_property
    def _trained(self) -> dict[str, bool]:
        return {
            "encoder": self._is_trainable("encoder", self.code.encoder),
            "decoder": self._is_trainable("decoder", self.code.decoder),
            "parity": bool(self.config.parity.trainable),
        }

    def rehearse(self) -> None:
        """Find out what cannot work before anything is trained or written: one step on two groups, not taken.

        Raises:
            ConfigError: choices that do not go together, with the keys of both.
            CheckpointError: the user's base checkpoint is missing, unreadable, or of another network.
        """
        if not self.systematic:
            self.rehearse_network("base")
            self.make_trainer(max_epochs=1)()
            return
        if not any(self._trained.values()):
            raise ConfigError(
                "encoder.trainable, decoder.trainable and parity.trainable are all false, so there is nothing to "
                "train; set one of them to true"
            )
        processes(self.config.trainer)
        self.warn_of_precision("trainer.precision", self.config.trainer.precision)
        base = self.rehearse_network("base")
        self._check_validated("trainer.max_epochs", self.config.trainer.max_epochs)
        self.make_trainer(max_epochs=1)()
        module = self._coded_module(base)
        self._check_optimisation(self._optimisation(self.config, ""), module, "")
        if self._trained["parity"] and 1 in (self.batch_groups, len(self.splits.train) // self.k):
            for network in module.parity_models:
                self._check_alone(network, self.code.encoder.parity_shape, "batch_groups")
        self._check_gradients(module.eval(), base.eval())
        # The rehearsal left gradients in the code and settled which of its parts are trained.
        self.code.zero_grad(set_to_none=True)
        self.code.train()

    def rehearse_network(self, section: str) -> nn.Module:
        """Find out whether ``base`` or ``backup`` can be had as its section says; return it, untrained unless given.

        Raises:
            ConfigError: a value of the section that cannot be.
            CheckpointError: the user's checkpoint is missing, unreadable, or of another network.
        """
        settings = self.config[section]
        network = self.new_base_network(section)
        if settings.checkpoint is not None:
            load_weights(settings.checkpoint, network, f"{section}.checkpoint")
        else:
            self._check_validated(f"{section}.max_epochs", settings.max_epochs)
        self._check_optimisation(self.base_optimisation(section), network, f"{section}.")
        if settings.checkpoint is None and 1 in (settings.batch_size, len(self.splits.train)):
            self._check_alone(network, self.splits.query_shape, f"{section}.batch_size")
        return network

    @staticmethod
    def _check_alone(network: nn.Module, shape: tuple[int, ...], key: str) -> None:
        """Refuse a network that cannot learn from one sample at a time, where batches have no more."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                copy.deepcopy(network).train()(torch.zeros(1, *shape))
        except Exception as error:
            reason = library_errors.explained(error) or library_errors.in_one_line(error)
            raise ConfigError(f"{key}: batches have one sample: {reason}") from None

    def _check_validated(self, key: str, epochs: Any) -> None:
        """Refuse a training none of whose epochs is validated, for the best one is chosen by that."""
        every = self.config.trainer.get("check_val_every_n_epoch")
        if isinstance(every, int) and isinstance(epochs, int) and every > epochs:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch={every}: with {key}={epochs} no epoch is validated, and none can "
                f"be chosen; set it to {epochs} or less, or {key} to {every} or more"
            )

    @staticmethod
    def _check_optimisation(optimisation: Optimisation, module: nn.Module, prefix: str) -> None:
        """Make an optimizer and a schedule once, for their arguments are looked at only then."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        key = f"{prefix}optimizer"
        try:
            optimizer = optimisation.optimizer(trained)
            key = f"{prefix}scheduler"
            optimisation.schedule(optimizer, 100)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from None

    def _check_gradients(self, module: CodedModule, base: nn.Module) -> None:
        """Refuse an objective that does not depend on a part that it is to train."""
        groups = torch.arange(2 * self.k).view(2, self.k) % len(self.splits.train)
        inputs = self.splits.normalise(self.splits.train.inputs[groups.flatten()])
        with torch.no_grad():
            prepared = self.code.encoder.prepare(inputs).unflatten(0, groups.shape)
            predictions = base(inputs).unflatten(0, groups.shape)
        batch = GroupBatch(
            prepared, predictions, self.splits.train.labels[groups], torch.ones_like(groups, dtype=torch.bool)
        )
        module.loss(batch).backward()
        parts = {"encoder": self.code.encoder, "decoder": self.code.decoder, "parity": module.parity_models}
        for key, part in parts.items():
            if self._trained[key] and all(parameter.grad is None for parameter in part.parameters()):
                objective = type(module.objective).__name__
                raise ConfigError(
                    f"objective ({objective}) does not depend on the {key}, but {key}.trainable=true; choose an "
                    f"objective of the reconstruction, such as objective=kl, or another {key}"
                )

    def predictions(self, base: nn.Module, inputs: Tensor) -> Tensor:
        """The base model's predictions for inputs as the data set has them, on the CPU."""
        return predict(base, inputs, self.device, prepare=self.splits.normalise).cpu()

    def evaluator(self, base: nn.Module, parity_networks: list[nn.Module]) -> Evaluator | NonSystematicEvaluator:
        """Measures the code with its trained networks."""
        if self.systematic:
            return Evaluator(self.code, parity_networks, self.device, self.splits.normalise)
        sigmas = self.config.evaluation.get("noise_sigmas") or ()
        return NonSystematicEvaluator(
            self.non_systematic_code, base, self.device, self.splits.normalise, [float(sigma) for sigma in sigmas]
        )

    def base_optimisation(self, section: str = "base") -> Optimisation:
        """How the parameters of the base model, or of the backup, are moved."""
        return self._optimisation(self.config[section], f"{section}.")

    def _optimisation(self, section: DictConfig, prefix: str) -> Optimisation:
        trainer = self.config.trainer
        return Optimisation(
            build(section.optimizer, f"{prefix}optimizer"),
            build(section.scheduler, f"{prefix}scheduler"),
            trainer.accumulate_grad_batches,
            trainer.gradient_clip_val,
        )

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
        """Everything that determines the trained base model, or the backup: all but what cannot matter to it."""
        others = {*NOT_OF_BASE, "base", "backup"} - {section}
        found = ("architecture", f"{section}.architecture", f"{section}.checkpoint", *MACHINE)
        architecture = OmegaConf.create({"architecture": self.architecture(section)})
        return without(self._facts, [*others, *found]) | {
            **config_facts(architecture),
            **content_facts(architecture),
            "the data": self.data_facts["the data"],
            "processes": processes(self.config.trainer),
            "device": self.device.type,
            "version": f"{CACHE_VERSION}, parity_exp {parity_exp.__version__}, torch {torch.__version__}",
        }

    def coded_facts(self, base: nn.Module) -> dict[str, Any]:
        """Everything that determines the trained code, but how long it is trained and on what machine."""
        ignored = [*EVALUATION_ALONE, *SERVING_ALONE, *LENGTH_AND_MACHINE, "base"]
        return without(self._facts, ignored) | {
            "the data": self.data_facts["the data"],
            "the base model": digest_of_weights(base.state_dict()),
        }

    def base_key(self, section: str = "base") -> str:
        """Hash of everything that determines the trained base model, or the backup."""
        return hashed(self.base_facts(section))

    @staticmethod
    def _random_weights(stream: int, seed: int) -> "_Seeded":
        return _Seeded(seed * 10 + stream)


class _Seeded:
    """Draw random numbers from a seed inside a block, and leave the program's own as they were."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        torch.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.state)
