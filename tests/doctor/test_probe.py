"""What has to be imported to be seen: whatever fails is a row with what to do."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from parity_exp.doctor import probe
from parity_exp.doctor.findings import Finding, State


def test_a_library_that_cannot_be_imported_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise OSError(f"cannot load library of {name}")

    monkeypatch.setattr(importlib, "import_module", fail)
    found = {one.name: one for one in probe.libraries()}
    assert "libsndfile1" in found["soundfile"].remedy and found["soundfile"].state is State.MISSING
    assert found["torch"].state is State.BROKEN and "cannot load library" in found["torch"].text


def no_gpu(monkeypatch: pytest.MonkeyPatch, nodes: list[str], said: str = "") -> Finding:
    def unavailable() -> bool:
        if said:
            warnings.warn(said, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    monkeypatch.setattr(probe, "GPUS", lambda pattern: map(Path, nodes if pattern.startswith("nvidia") else []))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = probe.devices()
    assert isinstance(found, Finding)
    return found


def test_a_machine_without_a_gpu_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_gpu(monkeypatch, []).state is State.GOOD


def test_a_gpu_with_a_broken_driver_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    found = no_gpu(monkeypatch, ["/dev/nvidia0"], "The NVIDIA driver on your system is too old")
    assert found.state is State.BROKEN and "too old" in found.text and "nvidia-smi" in found.remedy


def test_a_gpu_and_a_torch_without_gpus_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    found = no_gpu(monkeypatch, ["/dev/nvidia0"])
    assert found.state is State.BROKEN and "processors alone" in found.text and "pip install" in found.remedy


def test_a_gpu_that_was_hidden_on_purpose_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gpu(monkeypatch, [])
    monkeypatch.setattr(probe, "GPUS", lambda _: [Path("/dev/nvidia0")])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (found,) = probe.devices()
    assert isinstance(found, Finding) and found.state is State.GOOD and "hides" in found.text


def test_data_sets_are_found_damaged_or_nowhere(tmp_path: Path) -> None:
    raw = tmp_path / "mnist"
    raw.mkdir()
    for name in ("train-images", "t10k-images"):
        (raw / f"{name}-idx3-ubyte").write_bytes(b"<!doctype html>")
    for name in ("train-labels", "t10k-labels"):
        (raw / f"{name}-idx1-ubyte").write_bytes(b"")
    found = {one.name: one for one in probe.data_sets([f"dataset.root={tmp_path}"])}
    assert found["digits"].state is State.GOOD
    assert found["mnist"].state is State.MISSING and "damaged" in found["mnist"].text
    assert str(raw) in found["mnist"].text and "web page" in found["mnist"].text
    assert found["cifar10"].text == "not found" and found["cifar10"].remedy
    assert "Birds" in found["cub_localization"].remedy
    assert not (tmp_path / "cifar-10-batches-py").exists()


def test_fashion_mnist_comes_by_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("parity_exp.data.sources.SYSTEM_FOLDERS", ())
    found = {one.name: one for one in probe.data_sets([f"dataset.root={tmp_path}"])}["fashion_mnist"]
    assert found.state is State.MISSING and "apt-get install dataset-fashion-mnist" in found.remedy


@pytest.mark.parametrize(
    ("mode", "key", "said"), [("offline", "", "offline"), ("", "x" * 40, "logged in"), ("", "", "nobody")]
)
def test_tracking_is_known_without_asking(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, key: str, said: str
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name, value in (("WANDB_MODE", mode), ("WANDB_API_KEY", key)):
        monkeypatch.setenv(name, value)
    (found,) = probe.tracking()
    assert said in found.text
