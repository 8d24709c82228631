"""What training runs on: one kind of device, one process or several, and how a Trainer for that is made."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import Accelerator

from parity_exp.training.acceleration import Acceleration
from parity_exp.training.accelerators import computing_device, own_strategy

USUAL_SETTINGS: Mapping[str, Any] = {
    "deterministic": "warn",
    "benchmark": True,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}
"""Arguments of Lightning's Trainer: what costs time in every step is done once an epoch by callbacks of ours."""


PLACES = ("accelerator", "devices", "strategy", "precision")
"""Arguments of the Trainer that say where and how it computes."""


@dataclass(frozen=True)
class Machine:
    """What training runs on.

    Attributes:
        make: makes a Trainer; what it is given goes before settings of its own.
        accelerator: the Trainer's: a name, or an object of a class that Lightning does not know.
        devices: the Trainer's, a number or a list of numbers.
        strategy: the Trainer's.
        precision: the Trainer's.
        validates_every: after how many epochs validation quality is measured.
        acceleration: how a GPU is used.
    """

    make: Callable[..., Trainer]
    accelerator: str | Accelerator = "auto"
    devices: Any = 1
    strategy: Any = "auto"
    precision: Any = "32-true"
    validates_every: object = 1
    acceleration: Acceleration = field(default_factory=Acceleration)

    @classmethod
    def of(cls, acceleration: Acceleration | None = None, **settings: Any) -> "Machine":
        """One process, with a Trainer of some settings beside :data:`USUAL_SETTINGS`.

        Args:
            acceleration: how a GPU is used; None: by all its means.
            settings: arguments of Lightning's Trainer.
        """
        places = {name: settings[name] for name in PLACES if name in settings}
        every = settings.get("check_val_every_n_epoch", 1)
        make = partial(Trainer, **{"devices": 1, **USUAL_SETTINGS, **settings})
        return cls(make, **places, validates_every=every, acceleration=acceleration or Acceleration())

    @cached_property
    def device(self) -> torch.device:
        """Where this process predicts and evaluates; see :mod:`parity_exp.devices.placement`."""
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        return computing_device(self.accelerator, self.devices, rank)

    def trainer(self, max_epochs: int) -> Callable[..., Trainer]:
        """A factory of Trainers that adds callbacks and plugins to the settings."""

        def make(**settings: Any) -> Trainer:
            strategy = own_strategy(self.accelerator, self.devices, self.strategy, self.precision)
            if strategy is not None:
                settings |= {"accelerator": self.accelerator, "strategy": strategy}
            return self.make(max_epochs=max_epochs, **settings)

        return make
