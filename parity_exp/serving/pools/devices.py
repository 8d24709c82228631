"""Which device each instance is on."""

from collections.abc import Sequence

import torch

from parity_exp.checks import SettingError
from parity_exp.devices.backends import load_backends

CHOICES = "auto, cpu, cuda:N, or a list of the last two"


def place(devices: str | Sequence[str], instances: int) -> list[str]:
    """A device for every instance, in turn; several instances share one where there are more instances.

    Args:
        devices: ``auto`` for all visible GPUs, or else all devices of another accelerator, or the CPU where there is
            none; or the name of a device; or a list of names, or several with commas between them. A device that is
            named twice gets twice as many instances.
        instances: how many.

    Raises:
        SettingError: a device is not there, or what was given names none.
        UserError: a backend of another package cannot be imported.
    """
    if not isinstance(devices, Sequence):
        raise SettingError(f"{{devices}}={devices}: expected {CHOICES}")
    load_backends()
    if devices == "auto":
        kind = _found()
        chosen = [f"{kind}:{index}" for index in range(_visible(kind) or 0)] or ["cpu"]
    else:
        chosen = [_checked(name) for name in (devices.split(",") if isinstance(devices, str) else devices)]
    if not chosen:
        raise SettingError(f"{{devices}}=[]: names no device; give {CHOICES}")
    return [chosen[index % len(chosen)] for index in range(instances)]


def _found() -> str:
    """The kind of accelerator that ``auto`` means; there may be none of it."""
    other = None if _visible("cuda") else torch.accelerator.current_accelerator(check_available=True)
    return other.type if other is not None else "cuda"


def _visible(kind: str) -> int | None:
    """How many devices of a kind there are; None: instances cannot run on such ones."""
    # Counting does not initialise CUDA, which would take memory on a GPU, and time.
    if kind == "cuda":
        return torch.cuda.device_count()
    count: int | None = getattr(getattr(torch, kind, None), "device_count", lambda: None)()
    return count


def _checked(name: object) -> str:
    try:
        device = torch.device(str(name).strip())
    except RuntimeError:
        raise SettingError(f"{{devices}}: {name} is not a device; give {CHOICES}") from None
    kind = device.type
    if kind == "cpu":
        return "cpu"
    count = _visible(kind)
    if count is None:
        raise SettingError(f"{{devices}}: instances cannot run on {name}; give {CHOICES}")
    index = device.index or 0
    if index >= count:
        nothing = "no GPU is visible" if kind == "cuda" else "no device of this kind is visible"
        there = {0: nothing, 1: f"only {kind}:0 is visible"}.get(count, f"{kind}:0 to {kind}:{count - 1} are visible")
        raise SettingError(f"{{devices}}: there is no {name} here, {there}; give {CHOICES}")
    return f"{kind}:{index}"
