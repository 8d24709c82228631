"""Which device each instance is placed on, whatever devices a machine has."""

from typing import Any

import pytest
import torch

from parity_exp.checks import SettingError
from parity_exp.serving.pools.devices import place


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many GPUs there are; a test changes it."""
    count = [0]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count[0])
    return count


@pytest.mark.parametrize(
    ("count", "devices", "placed"),
    [
        (0, "auto", ["cpu"] * 5),
        (1, "auto", ["cuda:0"] * 5),
        (2, "auto", ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        (2, "cpu", ["cpu"] * 5),
        (2, "cuda", ["cuda:0"] * 5),
        (2, "cuda:1", ["cuda:1"] * 5),
        (2, ["cuda:1", "cpu"], ["cuda:1", "cpu", "cuda:1", "cpu", "cuda:1"]),
        (2, "cuda:1,cuda:0", ["cuda:1", "cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        (2, "cuda:1, cpu", ["cuda:1", "cpu", "cuda:1", "cpu", "cuda:1"]),
        (2, ["cuda:0", "cuda:0", "cuda:1"], ["cuda:0", "cuda:0", "cuda:1", "cuda:0", "cuda:0"]),
        (8, "auto", [f"cuda:{index}" for index in range(5)]),
    ],
)
def test_instances_take_turns_on_the_devices_that_are_named(
    gpus: list[int], count: int, devices: Any, placed: list[str]
) -> None:
    gpus[0] = count
    assert place(devices, 5) == placed


@pytest.mark.parametrize(
    ("count", "devices", "words"),
    [
        (0, "cuda", "there is no cuda here, no GPU is visible"),
        (1, "cuda:1", "there is no cuda:1 here, only cuda:0 is visible"),
        (2, ["cuda:0", "cuda:2"], "there is no cuda:2 here, cuda:0 to cuda:1 are visible"),
        (2, "cuda:0,", "is not a device"),
        (2, "gpu", "gpu is not a device"),
        (2, [0], "0 is not a device"),
        (2, "meta", "instances cannot run on meta"),
        (2, [], "names no device"),
        (2, "", "is not a device"),
        (2, None, "devices=None"),
        (2, {"cuda": 1}, "devices="),
    ],
)
def test_devices_that_are_not_there_are_refused_with_what_is(
    gpus: list[int], count: int, devices: Any, words: str
) -> None:
    gpus[0] = count
    with pytest.raises(SettingError) as refusal:
        place(devices, 2)
    assert words in str(refusal.value) and "devices" in str(refusal.value) and "\n" not in str(refusal.value)
