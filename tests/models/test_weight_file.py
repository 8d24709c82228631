"""Files that are no weights are recognised for what they are, and the message says how to get at the weights."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from parity_exp.errors import CheckpointError
from parity_exp.models.weight_file import read_weight_file

WEIGHTS = {"weight": torch.rand(30, 30), "bias": torch.rand(30)}


class WholeModel(nn.Linear):
    """A class that only its author's code can import."""


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch marker",)


def torch_file(content: object, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    return buffer.getvalue()


def exported() -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), buffer)
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pt"))
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"", ["is empty", "get it again"]),
        (lambda: LFS, ["Git LFS pointer", "git lfs pull"]),
        (lambda: b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", ["web page", "download the file itself"]),
        (lambda: b"\xef\xbb\xbf\r\n  <HTML lang='de'>" + b"\xc3\xa4" * 400, ["web page"]),
        (lambda: b"Not Found", ["text", "'Not Found'"]),
        (lambda: b'{"metadata": {}, "weight_map": {"a": "model-00001.safetensors"}}', ["several files", "state_dict"]),
        (lambda: b'{"message": "not found"}', ["text", "message"]),
        (scripted, ["TorchScript", "torch.jit.load", ".state_dict()"]),
        (exported, ["torch.export", "state_dict"]),
        (lambda: zipped(weights__pt=torch_file(WEIGHTS)), ["zip archive", "weights.pt", "unpack"]),
        (arrays, ["NumPy"]),
        (lambda: gzip.compress(torch_file(WEIGHTS)), ["gzip", "unpack"]),
        (tarred, ["tar", "unpack"]),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), ["HDF5", "Keras"]),
        (lambda: b"\x04\x00\x00\x00\x01\x00\x00\x00" + bytes(100), ["Torch 7"]),
        (lambda: torch_file(WholeModel(2, 2)), ["WholeModel", "state_dict()", "weights_only=False"]),
        (lambda: torch_file(WholeModel(2, 2), old=True), ["WholeModel", "state_dict()"]),
        (lambda: torch_file({"state_dict": WEIGHTS, "net": WholeModel(2, 2)}), ["WholeModel", "['state_dict']"]),
        (lambda: torch_file({"state_dict": Payload()}), ["posix.system", "run code"]),
        (lambda: torch_file(Payload(), old=True), ["posix.system", "run code"]),
        (lambda: pickle.dumps(Payload()), ["pickle", "torch.save"]),
        (lambda: pickle.dumps({"weight": np.zeros(3)}), ["pickle", "torch.save"]),
        (lambda: torch_file(WEIGHTS)[:2000], ["cut short", "get it again"]),
        (lambda: torch_file(WEIGHTS, old=True)[:2000], ["cut short"]),
        (lambda: safetensors.torch.save(WEIGHTS)[:500], ["safetensors", "cut short"]),
        (lambda: safetensors.torch.save(WEIGHTS)[:40], ["safetensors", "cut short"]),
        (lambda: bytes(range(7, 256)) * 3, ["not a readable PyTorch checkpoint"]),
    ],
)
def test_a_file_that_holds_no_weights_is_said_to_be_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Callable[[], bytes], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bytes_there = content()
    Path("net.pt").write_bytes(bytes_there)
    for given in (None, bytes_there):
        with pytest.raises(CheckpointError) as error:
            read_weight_file("net.pt", "base.checkpoint", given)
        line = str(error.value)
        assert line.startswith("base.checkpoint=net.pt: ") and "\n" not in line
        assert all(word in line for word in words), line
    assert not Path("marker").exists()


def test_what_is_no_file_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    def line(path: Path) -> str:
        with pytest.raises(CheckpointError) as error:
            read_weight_file(path, "base.checkpoint")
        return str(error.value)

    assert "no such file" in line(tmp_path / "nosuch.pt")
    assert "is a folder" in line(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert "model.safetensors" in line(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "base.ckpt").touch()
    assert "run directory" in line(tmp_path) and "base.ckpt" in line(tmp_path)


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(WEIGHTS, tmp_path / "net.pt")
    assert torch.equal(read_weight_file("~/net.pt", "base.checkpoint")["bias"], WEIGHTS["bias"])
