"""From the sections trainer and acceleration of a config to the machine that training runs on."""

from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build
from parity_exp.process import world
from parity_exp.training import Acceleration, Machine

ACCELERATION = ("cuda_graphs", "tf32", "channels_last")
"""What says how training uses a GPU; see :class:`parity_exp.training.Acceleration`."""


def machine_of(config: DictConfig) -> Machine:
    """The machine that trainer and acceleration describe; how many processes they ask for is not looked at."""
    trainer, acceleration = config.trainer, config.get("acceleration") or {}
    accelerator: Any = trainer.accelerator
    if isinstance(accelerator, DictConfig):  # of a class that the config names
        accelerator = build(accelerator, "trainer.accelerator")
    return Machine(
        partial(build, trainer, "trainer"),
        accelerator,
        trainer.get("devices", 1),
        trainer.get("strategy", "auto"),
        trainer.get("precision", "32-true"),
        trainer.get("check_val_every_n_epoch"),
        # Runs of before there was a choice use all means of a GPU.
        Acceleration(**{name: bool(acceleration.get(name, True)) for name in ACCELERATION}),
    )


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
