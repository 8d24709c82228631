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
from parity_exp.files import write_bytes

FORMAT = "parity_exp"
VERSION = 1

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which training scripts commonly store a state_dict."""

COUNTERS = "num_batches_tracked"
"""Batch norm's counter, which plays no part in predictions; old files lack it."""

ROLES = {"weight", "bias", "running_mean", "running_var"}
"""Last parts of a key that say what a tensor does, whatever the module is called."""


def save_weights(path: str | Path, part: str, weights: Mapping[str, Tensor]) -> None:
    """Write a network's state_dict.

    Args:
        path: the file; replaced in one step.
        part: what it is: ``base``, ``parity-0``, ``encoder``, ...
        weights: the state_dict.

    Raises:
        OSError: the file cannot be written; an older one is untouched.
    """
    state = {key: value.detach().cpu() for key, value in weights.items()}
    content = {"format": FORMAT, "version": VERSION, "part": part, "state_dict": state}
    save_content(path, content)


def save_content(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write what ``torch.save`` can write, in one step."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_weights(path: str | Path, network: nn.Module, key: str, content: bytes | memoryview | None = None) -> None:
    """Read weights into a network.

    Keys may differ from the network's by a common prefix or by how modules are called; they are then matched in
    order and by shape.

    Args:
        path: our own checkpoint, a plain state_dict, or a dictionary that holds one.
        network: takes the weights.
        key: the config key that named the file, for messages.
        content: what is in the file, where that has been read already.

    Raises:
        CheckpointError: no such file, not readable without executing code, or weights of another network.
    """
    origin = f"{key}={path}"
    found = _state_dict(load_content(path, key, content), origin)
    expected = network.state_dict()
    network.load_state_dict(_match(expected, found, origin))


def load_content(path: str | Path, key: str, content: bytes | memoryview | None = None) -> Any:
    """Read what ``torch.save`` wrote, refusing anything that is more than tensors and plain types.

    Raises:
        CheckpointError: no such file, or not readable without executing code.
        OSError: the file may not be read.
    """
    if content is None and not Path(path).is_file():
        raise CheckpointError(f"{key}={path}: no such file; give the path of a checkpoint")
    with Path(path).open("rb") if content is None else io.BytesIO(content) as stream:
        try:
            return torch.load(stream, map_location="cpu", weights_only=True)
        except Exception as error:
            # On bytes that are no checkpoint, torch's reader fails in whatever way those bytes lead it to.
            reason = _reason(error)
    raise CheckpointError(
        f"{key}={path}: not a readable PyTorch checkpoint ({reason}); "
        "expected a file of tensors as torch.save writes it"
    )


def _reason(error: Exception) -> str:
    text = str(error)
    if "Unsupported global" in text or ("weights_only" in text and "GLOBAL" in text):
        name = next((word for word in text.split() if word.count(".") and word[0].isalpha()), "code")
        return f"it holds more than tensors, such as {name.rstrip('.:')}, and is not executed"
    return "damaged, cut short, or not a checkpoint at all"


def _state_dict(content: Any, origin: str) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{origin}: holds a {type(content).__name__}, expected a state_dict")
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights and content.keys():
        raise CheckpointError(f"{origin}: holds no tensors, expected a state_dict")
    return weights


def _match(expected: dict[str, Tensor], found: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Give the found tensors the expected keys."""
    wanted = [key for key in expected if not key.endswith(COUNTERS)]
    offered = [key for key in found if not key.endswith(COUNTERS)]
    bare = dict(zip(_without_common_prefix(offered), offered, strict=True))
    if set(wanted) <= set(offered):
        pairs = {key: key for key in wanted}
    elif set(wanted) == set(bare):
        pairs = {key: bare[key] for key in wanted}
    else:
        pairs = dict(zip(wanted, offered, strict=False))
    fits = len(offered) == len(wanted) and all(
        expected[ours].shape == found[theirs].shape and _same_role(ours, theirs) for ours, theirs in pairs.items()
    )
    if not fits:
        raise CheckpointError(
            f"{origin}: weights of another network; expected {_listing(expected, wanted)}; "
            f"found {_listing(found, offered)}"
        )
    counters = {key: value for key, value in expected.items() if key.endswith(COUNTERS)}
    return counters | {ours: found[theirs] for ours, theirs in pairs.items()}


def _without_common_prefix(keys: list[str]) -> list[str]:
    """Keys without the leading modules that all of them share: ``module.net.0.bias`` to ``0.bias``."""
    paths = [key.split(".") for key in keys]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return [".".join(path[shared:]) for path in paths]


def _same_role(ours: str, theirs: str) -> bool:
    roles = {ours.rpartition(".")[2], theirs.rpartition(".")[2]}
    return len(roles) == 1 or not roles <= ROLES


def _listing(weights: dict[str, Tensor], keys: list[str], most: int = 8) -> str:
    shown = ", ".join(f"{key} {tuple(weights[key].shape)}" for key in keys[:most])
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{len(keys)} tensors: {shown}{rest}"
