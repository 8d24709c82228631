"""Where a trainer's settings put a network, also on accelerators that Lightning does not know by itself."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.accelerators import Accelerator, AcceleratorRegistry
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.strategies import SingleDeviceStrategy, Strategy

AUTOMATIC = {"auto": ("mps", "cuda", "cpu"), "gpu": ("mps", "cuda")}
"""What Lightning chooses from, in this order."""

LIGHTNINGS_OWN = {*AUTOMATIC, "cpu", "cuda", "mps", "tpu"}

MIXED = ("16-mixed", "bf16-mixed")


def computing_device(accelerator: str | Accelerator, devices: Any, rank: int = 0) -> torch.device:
    """Where one process predicts and evaluates: on the device that it trains on, as far as this machine has it.

    On MPS it is the CPU, for decoders solve in double precision, which MPS does not have.

    Args:
        accelerator: the trainer's.
        devices: the trainer's, a number or a list of numbers.
        rank: which of the processes of this machine this is.
    """
    kind = _kind(accelerator)
    if kind is None:
        return torch.device("cpu")
    try:
        parsed = kind.parse_devices(kind.auto_device_count() if devices == "auto" else _listed(devices) or devices)
        places = kind.get_parallel_devices(parsed)
    except (MisconfigurationException, TypeError):  # a run from a machine with more of them
        places = kind.get_parallel_devices(kind.parse_devices(1))
    place: torch.device = places[rank % len(places)]
    return torch.device("cpu") if place.type == "mps" else place


def own_strategy(accelerator: str | Accelerator, devices: Any, strategy: Any, precision: str) -> Strategy | None:
    """The strategy of a Trainer that would otherwise be on the CPU, as it knows nothing of the accelerator's devices.

    Args:
        accelerator: the trainer's.
        devices: the trainer's.
        strategy: the trainer's.
        precision: the trainer's.

    Returns:
        None where Lightning's own choice is right: for its own accelerators, several processes, a strategy that is
        given, and accelerators that are not there, which it refuses.
    """
    known = isinstance(accelerator, str) and accelerator in LIGHTNINGS_OWN
    several = devices not in (1, "1") and len(_listed(devices)) != 1
    if known or strategy != "auto" or several or _kind(accelerator) is None:
        return None
    device = computing_device(accelerator, devices)
    mixed = MixedPrecision(precision, device.type) if precision in MIXED else None  # type: ignore[arg-type]
    return SingleDeviceStrategy(device=device, precision_plugin=mixed)


def _kind(accelerator: str | Accelerator) -> type[Accelerator] | None:
    """An accelerator's class; None where it cannot be used here."""
    if isinstance(accelerator, Accelerator):
        return type(accelerator)
    for name in AUTOMATIC.get(accelerator, (accelerator,)):
        kind: type[Accelerator] | None = (
            AcceleratorRegistry[name]["accelerator"] if name in AcceleratorRegistry else None
        )
        if kind is not None and kind.is_available():
            return kind
    return None


def _listed(devices: Any) -> list[Any]:
    return list(devices) if isinstance(devices, Sequence) and not isinstance(devices, str) else []
