"""Where a trainer's settings put a process."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import SingleDeviceStrategy

from parity_exp.training.accelerators import computing_device, own_strategy
from tests.stand_in.accelerator import PretendAccelerator

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("accelerator", "devices", "rank", "expected"),
    [
        ("cpu", 1, 0, CPU),
        ("cpu", 2, 1, CPU),
        ("cpu", "auto", 0, CPU),
        ("no_such_thing", 1, 0, CPU),  # a run from a machine that had it
        ("pretend", 1, 0, torch.device("pretend:0")),
        ("pretend", "auto", 1, torch.device("pretend:1")),
        ("pretend", [1], 0, torch.device("pretend:1")),
        ("pretend", 2, 1, torch.device("pretend:1")),
        (PretendAccelerator(), 1, 0, torch.device("pretend:0")),
    ],
)
def test_a_process_computes_on_the_device_that_it_trains_on(
    accelerator: Any, devices: Any, rank: int, expected: torch.device
) -> None:
    assert computing_device(accelerator, devices, rank) == expected


def test_automatic_choices_are_lightnings() -> None:
    trainer = Trainer(accelerator="auto", devices=1, logger=False, enable_checkpointing=False)
    assert computing_device("auto", 1).type in (trainer.strategy.root_device.type, "cpu")


@pytest.mark.parametrize("devices", [1, [0], [1]])
@pytest.mark.parametrize("accelerator", ["pretend", PretendAccelerator()])
def test_trainers_are_on_accelerators_that_lightning_does_not_know(accelerator: Any, devices: Any) -> None:
    strategy = own_strategy(accelerator, devices, "auto", "bf16-mixed")
    assert isinstance(strategy, SingleDeviceStrategy)
    trainer = Trainer(
        accelerator=accelerator, devices=devices, strategy=strategy, logger=False, enable_checkpointing=False
    )
    assert trainer.strategy.root_device == computing_device(accelerator, devices)
    with trainer.precision_plugin.forward_context():
        assert torch.is_autocast_enabled("pretend")


@pytest.mark.parametrize(
    ("accelerator", "devices", "strategy"),
    [
        ("cpu", 1, "auto"),
        ("auto", 1, "auto"),
        ("pretend", 2, "ddp"),
        ("pretend", 1, "ddp"),
        ("no_such_thing", 1, "auto"),
    ],
)
def test_all_else_is_left_to_lightning(accelerator: str, devices: int, strategy: str) -> None:
    assert own_strategy(accelerator, devices, strategy, "32-true") is None
