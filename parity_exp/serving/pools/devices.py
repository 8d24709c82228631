"""Which device each instance is on."""

from collections.abc import Sequence

import torch

from parity_exp.errors import ConfigError

CHOICES = "auto, cpu, cuda:N, or a list of the last two"


def place(devices: str | Sequence[str], instances: int) -> list[str]:
    """A device for every instance, in turn; several instances share one where there are more instances.

    Args:
        devices: ``auto`` for all visible GPUs, or the CPU where there is none; or the name of a device; or a list of
            names.
        instances: how many.

    Raises:
        ConfigError: a device is not there, or what was given names none.
    """
    if not isinstance(devices, Sequence):
        raise ConfigError(f"pool.devices={devices}: expected {CHOICES}")
    # Counting does not initialise CUDA, which would take memory on a GPU, and time.
    gpus = torch.cuda.device_count()
    if devices == "auto":
        chosen = [f"cuda:{index}" for index in range(gpus)] or ["cpu"]
    else:
        chosen = [_checked(name, gpus) for name in ([devices] if isinstance(devices, str) else devices)]
    if not chosen:
        raise ConfigError(f"pool.devices=[]: names no device; give {CHOICES}")
    return [chosen[index % len(chosen)] for index in range(instances)]


def _checked(name: object, gpus: int) -> str:
    try:
        device = torch.device(str(name))
    except RuntimeError:
        raise ConfigError(f"pool.devices: {name} is not a device; give {CHOICES}") from None
    if device.type == "cpu":
        return "cpu"
    if device.type != "cuda":
        raise ConfigError(f"pool.devices: instances cannot run on {name}; give {CHOICES}")
    index = device.index or 0
    if index >= gpus:
        there = {0: "no GPU is visible", 1: "only cuda:0 is visible"}.get(
            gpus, f"cuda:0 to cuda:{gpus - 1} are visible"
        )
        raise ConfigError(f"pool.devices: there is no {name} here, {there}; give {CHOICES}")
    return f"cuda:{index}"
