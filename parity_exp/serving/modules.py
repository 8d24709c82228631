"""Modules of a program on their way to instances: each becomes a file that every instance can make it of again.

The classes of a script or a notebook are in no module that an instance could import, so that they travel along (by
cloudpickle); what can be imported is imported there.
"""

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from parity_exp.checks import SettingError
from parity_exp.devices.placement import on_device
from parity_exp.recordings.error_text import one_line
from parity_exp.serving.pool import ServedModel

GivenModel = nn.Module | ServedModel


def served_models(
    given: Mapping[str, GivenModel], query_shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> dict[str, ServedModel]:
    """Models that instances can hold, by name.

    Args:
        given: modules, of which copies are sent, and models that can be sent as they are.
        query_shapes: for each module the shape of one query.
        folder: where their files go; it has to be there as long as they are served.

    Raises:
        SettingError: a module that cannot be run on its queries, or cannot be sent.
    """
    return {
        name: model if isinstance(model, ServedModel) else _on_its_way(name, model, query_shapes[name], folder)
        for name, model in given.items()
    }


def _on_its_way(name: str, module: nn.Module, query_shape: tuple[int, ...], folder: Path) -> ServedModel:
    path = folder / f"{name}.pt"
    try:
        copied = on_device(module, "cpu")
        with torch.no_grad():
            outputs = copied(torch.zeros(1, *query_shape))
    except Exception as error:
        raise SettingError(
            f"{{models.{name}}} ({type(module).__name__}): it cannot take queries of shape {query_shape}: "
            f"{one_line(str(error))}"
        ) from None
    if not isinstance(outputs, Tensor) or outputs.dim() < 2 or len(outputs) != 1:
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise SettingError(
            f"{{models.{name}}} ({type(module).__name__}): for one query it gives {found}; expected a tensor of shape "
            "(1, numbers of a prediction)"
        )
    try:
        if isinstance(copied, torch.jit.ScriptModule):
            torch.jit.save(copied, str(path))
        else:
            torch.save(copied, path, pickle_module=cloudpickle)
    except Exception as error:
        raise SettingError(
            f"{{models.{name}}} ({type(module).__name__}): it cannot be sent to another process "
            f"({one_line(str(error))}); keep open files, locks and connections out of it, or hooks that hold them"
        ) from None
    scripted = isinstance(copied, torch.jit.ScriptModule)
    load = partial(load_module, str(path), scripted)
    return ServedModel(load, query_shape, tuple(outputs.shape[1:]), str(path))


def load_module(path: str, scripted: bool, content: bytes | memoryview | None = None) -> nn.Module:
    """The module of a file that was made for it.

    Args:
        path: the file.
        scripted: it holds TorchScript.
        content: what is in the file, on machines that do not have it.
    """
    source = path if content is None else io.BytesIO(content)
    if scripted:
        made: nn.Module = torch.jit.load(source, map_location="cpu")
    else:
        made = torch.load(source, map_location="cpu", weights_only=False)
    return made
