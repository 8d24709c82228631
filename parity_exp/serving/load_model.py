"""Make a model from plain settings and its checkpoint, in an instance's process.

Every instance imports this file, and should not import what composes configs, trains or draws.
"""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from parity_exp.coding.grid import Grid
from parity_exp.coding.token_grid import TokenGrid
from parity_exp.models.bank import ModelBank, Scaled
from parity_exp.models.checkpoint import load_weights
from parity_exp.models.places import places_apart
from parity_exp.models.token_places import TokensApart, TokensTogether

TARGET, PARTIAL, ARGUMENTS, RECURSIVE, CONVERT = "_target_", "_partial_", "_args_", "_recursive_", "_convert_"
"""Keys that say how an object is made and are no arguments of its class."""


def load_model(
    architecture: Mapping[str, Any],
    shape: tuple[int, ...],
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """A network in evaluation mode.

    Args:
        architecture: its class, as ``_target_``, and arguments; plain values, and objects in the same form.
        shape: of one query.
        outputs: numbers in one prediction.
        path: the checkpoint.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    network: nn.Module = made(architecture, input_shape=shape, outputs=outputs)
    load_weights(path, network, "checkpoint", content)
    return network.eval()


def load_places_apart(
    architecture: Mapping[str, Any],
    grid: Grid,
    shape: tuple[int, ...],
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """A parity model that keeps places apart, in evaluation mode.

    Args:
        architecture: as for :func:`load_model`.
        grid: where places are.
        shape: of one parity query.
        outputs: numbers in the prediction of one place.
        path: the checkpoint.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    settings = getattr(_named(architecture[TARGET]), "cell_settings", None)
    network = places_apart(partial(made, architecture), grid, shape, outputs, settings)
    load_weights(path, network, "checkpoint", content)
    return network.eval()


def load_bank(
    architecture: Mapping[str, Any],
    models: int,
    shape: tuple[int, ...],
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """Several models of one architecture, in evaluation mode.

    Args:
        architecture: as for :func:`load_model`.
        models: how many there are.
        shape: of one query, without what says which model it is for.
        outputs: numbers in one prediction.
        path: the checkpoint, of all of them.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    network = ModelBank([made(architecture, input_shape=shape, outputs=outputs) for _ in range(models)])
    load_weights(path, network, "checkpoint", content)
    return network.eval()


def load_scaled(
    architecture: Mapping[str, Any],
    factor: float,
    shape: tuple[int, ...],
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """A network whose outputs are multiplied, in evaluation mode.

    Args:
        architecture: as for :func:`load_model`.
        factor: of its outputs.
        shape: of one query.
        outputs: numbers in one prediction.
        path: the checkpoint.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    network = Scaled(made(architecture, input_shape=shape, outputs=outputs), factor)
    load_weights(path, network, "checkpoint", content)
    return network.eval()


def load_token_places(
    architecture: Mapping[str, Any],
    grid: TokenGrid,
    apart: bool,
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """A parity model of token ids side by side, in evaluation mode.

    Args:
        architecture: as for :func:`load_model`.
        grid: where places are.
        apart: whether places are kept apart.
        outputs: numbers in the prediction of one place, or of all together.
        path: the checkpoint.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    shared = made(architecture, input_shape=(grid.length,), outputs=outputs)
    network = TokensApart(shared, grid) if apart else TokensTogether(shared, grid)
    load_weights(path, network, "checkpoint", content)
    return network.eval()


def made(settings: Any, **more: Any) -> Any:
    """An object from plain settings, as a config has them: of the class or function that ``_target_`` names.

    Args:
        settings: a mapping with ``_target_``; anything else is what it is.
        more: further arguments, which come before those of the settings.

    Raises:
        ImportError: there is no such class.
    """
    if isinstance(settings, list):
        return [made(one) for one in settings]
    if not isinstance(settings, Mapping):
        return settings
    inner = made if settings.get(RECURSIVE, True) else _as_it_is
    given = {
        name: inner(value)
        for name, value in settings.items()
        if name not in (TARGET, PARTIAL, ARGUMENTS, RECURSIVE, CONVERT)
    }
    if TARGET not in settings:
        return given
    maker = _named(settings[TARGET])
    arguments = inner(settings.get(ARGUMENTS, []))
    if settings.get(PARTIAL, False):
        return partial(maker, *arguments, **(given | more))
    return maker(*arguments, **(given | more))


def _as_it_is(settings: Any) -> Any:
    return settings


def _named(name: str) -> Any:
    """The class or function of a dotted name.

    Raises:
        ImportError: there is none.
    """
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
                raise
            continue
        for part in parts[length:]:
            try:
                found = getattr(found, part)
            except AttributeError:
                raise ImportError(f"{name}: {found.__name__} has no {part}") from None
        return found
    raise ImportError(f"{name}: there is no module {parts[0]}")
