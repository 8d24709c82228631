"""Modules of a program on their way to instances: each becomes a file that every instance can make it of again.

The classes of a script or a notebook are in no module that an instance could import, so that they travel along (by
cloudpickle); what can be imported is imported there.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
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
    except Exception as error:
        raise _not_sent(name, module, error) from None
    try:
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
        raise _not_sent(name, module, error) from None
    scripted = isinstance(copied, torch.jit.ScriptModule)
    load = ModuleLoader(str(path), scripted, _modules_of(copied))
    return ServedModel(load, query_shape, tuple(outputs.shape[1:]), str(path))


def _not_sent(name: str, module: nn.Module, error: Exception) -> SettingError:
    return SettingError(
        f"{{models.{name}}} ({type(module).__name__}): it cannot be sent to another process "
        f"({one_line(str(error))}); keep open files, locks and connections out of it, or hooks that hold them"
    )


@dataclass(frozen=True)
class ModuleLoader:
    """Makes a module again of the file that was made for it.

    Attributes:
        path: the file.
        scripted: it holds TorchScript.
        python_modules: names of modules that its classes are in, which need not be imported by every instance anew.
    """

    path: str
    scripted: bool
    python_modules: tuple[str, ...]

    def __call__(self, content: bytes | memoryview | None = None) -> nn.Module:
        """The module; ``content`` is what is in the file, on machines that do not have it."""
        source = self.path if content is None else io.BytesIO(content)
        if self.scripted:
            made: nn.Module = torch.jit.load(source, map_location="cpu")
        else:
            made = torch.load(source, map_location="cpu", weights_only=False)
        return made


def _modules_of(network: nn.Module) -> tuple[str, ...]:
    """The modules of a network's classes that other processes can import."""
    names = dict.fromkeys(type(part).__module__ for part in network.modules())
    return tuple(name for name in names if name != "__main__" and name.partition(".")[0] != "torch")
