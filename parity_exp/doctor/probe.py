"""What has to be imported to be seen: native libraries, accelerators, data sets, W&B's login.

It is run as a program of its own, for drivers and libraries may crash or hang. It prints a line of JSON for each thing
that it has found, so that what came before a crash is known: a finding with its section, or a device.

    python -m parity_exp.doctor.probe OVERRIDE ...
"""

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from parity_exp.doctor.findings import Finding, State, one_line
from parity_exp.doctor.machine import size

NATIVE = {
    "torch": "pip install --force-reinstall torch torchvision",
    "torchvision": "it does not fit torch: pip install --upgrade torch torchvision",
    "pytorch_lightning": "pip install --force-reinstall pytorch-lightning",
    "soundfile": "only dataset=speech_commands needs it: apt-get install libsndfile1, "
    "then pip install --force-reinstall soundfile",
}
"""Modules that are of no use without libraries that pip may not have brought, with what mends them."""

NOT_NEEDED = {"soundfile"}

GPUS = Path("/dev").glob
"""Device nodes of GPUs that this process may use."""

DRIVER = "the driver or torch does not fit the GPU: see nvidia-smi, update the driver, or install a torch for it"

LIBRARIES, DEVICES, DATA_SETS, TRACKING = "libraries", "devices", "data sets", "tracking"


def main(overrides: list[str]) -> None:
    """Print all that is found."""
    for section, look in (
        (LIBRARIES, libraries),
        (TRACKING, tracking),
        (DEVICES, devices),
        (DATA_SETS, lambda: data_sets(overrides)),
    ):
        found = _every(section, look)
        for one in found:
            if isinstance(one, str):
                _say({"device": one})
            else:
                _say({"section": section, **vars(one), "state": one.state.name})


def libraries() -> Iterator[Finding]:
    """Import what may be there and yet not work."""
    for name, remedy in NATIVE.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except Exception as error:
            state = State.MISSING if name in NOT_NEEDED else State.BROKEN
            yield Finding(name, f"cannot be imported: {_why(error)}", state, remedy)
        else:
            yield Finding(name, f"{getattr(module, '__version__', '')} can be imported{_built_for(name, module)}")


def tracking() -> Iterator[Finding]:
    """Whether W&B is logged in, as far as files and variables tell; nobody is asked."""
    from parity_exp.tracking import wandb_environment
    from parity_exp.tracking.wandb_tracker import logged_in

    mode = wandb_environment.mode()
    if mode != "online":
        yield Finding("W&B", f"WANDB_MODE={wandb_environment.variable('MODE')}: runs are {mode}")
    elif logged_in():
        yield Finding("W&B", "logged in; runs are tracked online")
    else:
        remedy = "wandb login, or tracker=csv to do without"
        yield Finding("W&B", "nobody is logged in; runs are tracked offline", State.MISSING, remedy)


def devices() -> Iterator[Finding | str]:
    """Accelerators that torch can use, and those that it cannot."""
    import torch

    from parity_exp.devices.backends import load_backends
    from parity_exp.errors import UserError

    try:
        load_backends()
    except UserError as error:
        yield Finding("other devices", str(error), State.BROKEN)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(gpus):
        yield from _gpu(index)
    if not gpus:
        yield from _no_gpu([str(one.message) for one in warned])
    other = None if gpus else torch.accelerator.current_accelerator(check_available=True)
    for index in range(torch.accelerator.device_count() if other is not None else 0):
        assert other is not None
        name = f"{other.type}:{index}"
        yield Finding(name, "an accelerator that torch can use")
        yield name


def _gpu(index: int) -> Iterator[Finding | str]:
    import torch

    name = f"cuda:{index}"
    try:
        facts = torch.cuda.get_device_properties(index)
        yield Finding(name, f"{facts.name}, {size(facts.total_memory)}, compute capability {facts.major}.{facts.minor}")
    except Exception as error:
        yield Finding(name, f"there, but tells nothing of itself: {_why(error)}", State.BROKEN, DRIVER)
    yield name


def _no_gpu(said: list[str]) -> Iterator[Finding]:
    import torch

    nodes = sorted(str(path) for pattern in ("nvidia[0-9]*", "kfd") for path in GPUS(pattern))
    hidden = [name for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if name in os.environ]
    reason = f" ({one_line(said[0])})" if said else ""
    if not nodes:
        yield Finding("GPU", f"none can be seen{reason}")
    elif hidden:
        yield Finding("GPU", f"{hidden[0]}={os.environ[hidden[0]]} hides {', '.join(nodes)}{reason}")
    elif torch.version.cuda is None and torch.version.hip is None:
        text = f"{', '.join(nodes)} is there, but this torch ({torch.__version__}) is built for processors alone"
        yield Finding("GPU", text, State.BROKEN, "pip install --force-reinstall torch torchvision, built for GPUs")
    else:
        yield Finding("GPU", f"{', '.join(nodes)} is there, but torch cannot use it{reason}", State.BROKEN, DRIVER)


def data_sets(overrides: list[str]) -> Iterator[Finding]:
    """Every data set that can be chosen: found, damaged or nowhere."""
    from parity_exp.errors import DataError, MissingDataError
    from parity_exp.experiment.every_data_set import every_data_set

    for name, data_set in every_data_set(overrides):
        if isinstance(data_set, Exception):
            yield Finding(name, str(data_set), State.MISSING)
            continue
        try:
            folder = data_set.look()
            yield Finding(name, "comes with the packages" if folder is None else f"found in {folder}")
        except MissingDataError:
            yield Finding(name, "not found", State.MISSING, data_set.brought_by)
        except DataError as error:
            yield Finding(name, f"damaged: {error}", State.MISSING, data_set.brought_by)
        except Exception as error:
            yield Finding(name, f"cannot be read: {_why(error)}", State.MISSING, data_set.brought_by)


def _every(section: str, look: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """All that a section finds, and why it ends early where it does."""
    try:
        yield from look()
    except Exception as error:
        yield Finding(section, f"cannot be looked at: {_why(error)}", State.MISSING)


def _built_for(name: str, module: Any) -> str:
    if name != "torch":
        return ""
    kinds = {"CUDA": module.version.cuda, "ROCm": module.version.hip}
    built = [f"{kind} {version}" for kind, version in kinds.items() if version]
    return f", built for {' and '.join(built) or 'processors alone'}"


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(str(error))[:300]}"


def _say(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
