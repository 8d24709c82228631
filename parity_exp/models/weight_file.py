"""Files of weights by anyone's hand: read without executing anything, or said for what they are.

``torch.save``'s files are read with ``weights_only=True``, safetensors by its own library. Everything else that
commonly stands where weights should be (a pointer, a web page, a program, another library's file) is recognised by its
first bytes, so that the message can say how to get at the weights.
"""

import argparse
import io
import re
import struct
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from parity_exp.errors import CheckpointError
from parity_exp.files.stand_ins import HEAD, stand_in

ZIP = b"PK\x03\x04"
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began its files before they were zip archives."""

EXPORTED = ("models/model.json", "archive_format", "serialized_exported_program.json")
"""How names end that torch.export's archives hold."""

SAVE_WEIGHTS = "write its weights alone, `torch.save(model.state_dict(), 'weights.pt')`"

PACKED = "is packed by {}; unpack it first"

LUA = f"is a file of the old Torch 7 for Lua; convert the model and {SAVE_WEIGHTS}"

SIGNATURES = (
    (b"\x1f\x8b", PACKED.format("gzip")),
    (b"BZh", PACKED.format("bzip2")),
    (b"\xfd7zXZ", PACKED.format("xz")),
    (b"\x28\xb5\x2f\xfd", PACKED.format("zstd")),
    (b"7z\xbc\xaf", PACKED.format("7-Zip")),
    (b"Rar!", PACKED.format("RAR")),
    (b"\x89HDF", f"is an HDF5 file, as Keras writes; load the model in PyTorch and {SAVE_WEIGHTS}"),
    (b"GGUF", f"is a GGUF file, as llama.cpp reads; take the PyTorch model and {SAVE_WEIGHTS}"),
    (b"\x93NUMPY", "is one NumPy array; expected a state_dict as torch.save or safetensors writes it"),
    (
        b"\x03\x00\x00\x00\x01\x00\x00\x00",
        f"is a file of the old Torch 7 for Lua; convert the model and {SAVE_WEIGHTS}",
    ),
    (
        b"\x04\x00\x00\x00\x01\x00\x00\x00",
        f"is a file of the old Torch 7 for Lua; convert the model and {SAVE_WEIGHTS}",
    ),
)
"""How files begin that hold no weights of PyTorch, and what to say of them."""

_SCALAR = np.float64(1).__reduce__()[0]

HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bhilqBHILQefd"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
]
"""What training scripts leave beside the weights and what runs nothing: their arguments, and NumPy's numbers."""


def read_weight_file(path: str | Path, key: str, content: bytes | memoryview | None = None) -> Any:
    """What ``torch.save`` or safetensors wrote, on the CPU.

    Args:
        path: the file.
        key: the config key that named it, for messages.
        content: what is in the file, where that has been read already.

    Raises:
        CheckpointError: no such file, or none that can be read without executing code; it says what the file is.
        OSError: the file may not be read.
    """
    place = Path(path).expanduser()
    if content is None and not place.is_file():
        raise CheckpointError(f"{key}={path}: {_absent(place)}")
    with place.open("rb") if content is None else io.BytesIO(content) as stream:
        head = stream.read(HEAD)
        reason = _other_kind(head, place, stream)
        if reason is None:
            try:
                return _read(head, stream)
            except Exception as error:
                # On bytes that are no checkpoint, readers fail in whatever way those bytes lead them to.
                reason = _reason(error, path, _is_safetensors(head))
    raise CheckpointError(f"{key}={path}: {reason}")


def _read(head: bytes, stream: IO[bytes]) -> Any:
    stream.seek(0)
    if _is_safetensors(head):
        import safetensors.torch  # few files need it, and every instance imports this one

        return safetensors.torch.load(stream.read())
    harmless: AbstractContextManager[None] = torch.serialization.safe_globals(HARMLESS)
    with harmless:
        return torch.load(stream, map_location="cpu", weights_only=True)


def _absent(place: Path) -> str:
    if not place.is_dir():
        return "no such file; give the path of a checkpoint"
    if weights := sorted(place.glob("*/*.ckpt")):
        return f"is a run directory; give a file in it, such as {weights[0]}"
    if (place / ".metadata").is_file():
        return (
            "is a distributed checkpoint of many files; make one of them by "
            f"`python -m torch.distributed.checkpoint.format_utils dcp_to_torch {place} weights.pt`"
        )
    inside = [name for name in ("model.safetensors", "pytorch_model.bin") if (place / name).is_file()]
    return f"is a folder; give the path of a file{f', such as {place / inside[0]}' if inside else ''}"


def _other_kind(head: bytes, place: Path, stream: IO[bytes]) -> str | None:
    """What a file is that holds no weights to read, and what to do; None where it may hold some."""
    instead = stand_in(head)
    if instead is not None:
        return instead
    for start, meaning in SIGNATURES:
        if head.startswith(start):
            return meaning
    if head.startswith(ZIP):
        return _other_archive(place, stream)
    if head[257:262] == b"ustar":
        return PACKED.format("tar")
    if head[4:8] == b"TFL3" or place.suffix in (".onnx", ".pb", ".tflite", ".mlmodel"):
        return (
            f"is a model for another runtime ({place.suffix or '.tflite'}); take the PyTorch model and {SAVE_WEIGHTS}"
        )
    if _is_safetensors(head):
        return None
    if head[:1] == b"\x80" and not head.startswith(OLD_TORCH) and head[1:2] in b"\x02\x03\x04\x05":
        return (
            "is a pickle but not a file of torch.save, or damaged; if you trust it, load it and write its tensors "
            "again by torch.save"
        )
    return _text(head)


def _other_archive(place: Path, stream: IO[bytes]) -> str | None:
    try:
        names = zipfile.ZipFile(stream).namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return "is damaged or cut short, as after a copy or download that failed; get it again"
    if any(name.endswith("constants.pkl") for name in names) and any("/code/" in name for name in names):
        return (
            "is a TorchScript archive, which is a program; if you trust it, write its weights alone: "
            f"`torch.save(torch.jit.load({str(place)!r}, map_location='cpu').state_dict(), 'weights.pt')`"
        )
    if any(name.endswith("data.pkl") for name in names):
        return None
    if any(
        name.endswith(("models/model.json", "archive_format", "serialized_exported_program.json")) for name in names
    ):
        return (
            "is an exported program (torch.export); write its weights alone: "
            f"`torch.save(torch.export.load({str(place)!r}).state_dict, 'weights.pt')`"
        )
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays; expected a state_dict as torch.save or safetensors writes it"
    if any(name.endswith(".weights.h5") for name in names):
        return f"is a model of Keras; load it in PyTorch and {SAVE_WEIGHTS}"
    inside = ", ".join(names[:3]) or "nothing"
    return f"is a zip archive that holds {inside}; unpack it and give the path of the file with the weights"


def _is_safetensors(head: bytes) -> bool:
    """An 8-byte length, then a JSON dictionary of that length, perhaps with blanks at its end."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 100_000_000


def _text(head: bytes) -> str | None:
    try:
        words = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "strict" if len(head) < HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return None
    if not words or not all(letter.isprintable() or letter.isspace() for letter in words):
        return None
    if words.startswith("{") and "weight_map" in words:
        return "is the index of weights in several files; load them in PyTorch and save one state_dict by torch.save"
    return f"is a text that begins with {words[:40]!r}; expected a state_dict as torch.save or safetensors writes it"


def _reason(error: Exception, path: str | Path, is_safetensors: bool) -> str:
    text = str(error)
    named = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"<class '([\w.]+)'>", text)
    if named:
        load = f"torch.load({str(path)!r}, weights_only=False)"
        return (
            f"it holds more than tensors, such as {named[1]}, and reading that would run code, so it is not read; if "
            "you trust the file, write its weights alone where its classes can be imported: "
            f"`torch.save({load}.state_dict(), 'weights.pt')` of a whole model, "
            f"`torch.save({load}['state_dict'], 'weights.pt')` of a dictionary with them"
        )
    if is_safetensors:
        reason = " ".join(text.split())
        return f"is a safetensors file that is cut short or damaged ({reason}); get it again"
    return (
        "not a readable PyTorch checkpoint: damaged, cut short, or not a checkpoint at all; expected a file of tensors "
        "as torch.save or safetensors writes it"
    )
