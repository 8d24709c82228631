"""Weights on disk: our own checkpoints, and the state_dicts that other people's code saves.

Files are read with ``weights_only=True``: nothing in them is executed. Files are written in one step, so that a
kill or a full disk leaves the previous one readable.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parity_exp.errors import CheckpointError
from parity_exp.files.writing import write_bytes
from parity_exp.models.foreign_weights import WeightsError, fitting_weights
from parity_exp.models.weight_file import read_weight_file

FORMAT = "parity_exp"
VERSION = 1


def save_weights(
    path: str | Path, part: str, weights: Mapping[str, Tensor], origin: Mapping[str, str | bool] | None = None
) -> None:
    """Write a network's state_dict.

    Args:
        path: the file; replaced in one step.
        part: what it is: ``base``, ``parity-0``, ``encoder``, ...
        weights: the state_dict.
        origin: what the weights were made from, and whether their training ended as planned.

    Raises:
        OSError: the file cannot be written; an older one is untouched.
    """
    state = {key: value.detach().cpu() for key, value in weights.items()}
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, "part": part, "state_dict": state}
    if origin is not None:
        content["origin"] = dict(origin)
    save_content(path, content)


def save_content(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write what ``torch.save`` can write, in one step."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_weights(path: str | Path, network: nn.Module, key: str, content: bytes | memoryview | None = None) -> None:
    """Read weights into a network: our own checkpoint's, or anyone's (:mod:`parity_exp.models.foreign_weights`).

    Args:
        path: the file.
        network: takes the weights.
        key: the config key that named the file, for messages.
        content: what is in the file, where that has been read already.

    Raises:
        CheckpointError: no such file, not readable without executing code, or weights of another network.
    """
    found = load_content(path, key, content)
    try:
        network.load_state_dict(fitting_weights(network, found))
    except WeightsError as error:
        raise CheckpointError(f"{key}={path}: {error}") from None


def origin_of(path: str | Path, key: str) -> Mapping[str, str | bool]:
    """What the weights in a checkpoint of ours were made from; nothing where it does not say.

    Raises:
        CheckpointError: no such file, or not readable.
    """
    content = load_content(path, key)
    origin = content.get("origin") if isinstance(content, Mapping) else None
    return origin if isinstance(origin, Mapping) else {}


def load_content(path: str | Path, key: str, content: bytes | memoryview | None = None) -> Any:
    """Read what ``torch.save`` or safetensors wrote, refusing anything that is more than tensors and plain types.

    Raises:
        CheckpointError: no such file, or not readable without executing code.
        OSError: the file may not be read.
    """
    return read_weight_file(path, key, content)
