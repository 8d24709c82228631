"""Weights as other people's scripts leave them: found wherever they are, or what differs is said."""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from parity_exp.errors import CheckpointError
from parity_exp.models import MLP, load_weights

KEY = "base.checkpoint"


def network(seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP((1, 4, 4), 3, hidden=(8, 8))


WEIGHTS = dict(network().state_dict())
OTHERS = network(7).state_dict()
OPTIMIZER = torch.optim.Adam(network().parameters()).state_dict()


def prefixed(prefix: str, weights: dict[str, Tensor] = WEIGHTS) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def without(key: str) -> dict[str, Tensor]:
    return {name: value for name, value in WEIGHTS.items() if name != key}


class Tied(nn.Module):
    """Two layers that share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


def loaded(path: Path) -> dict[str, Tensor]:
    other = network(1)
    load_weights(path, other, KEY)
    return other.state_dict()


def refused(path: Path, net: nn.Module | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        load_weights(path, net or network(1), KEY)
    line = str(error.value)
    assert line.startswith(f"{KEY}={path}") and "\n" not in line
    return line


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3, "optimizer": OPTIMIZER},
        {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9)},
        {"model_state_dict": WEIGHTS, "loss": torch.tensor(0.3)},
        {"ema": WEIGHTS},
        {"state_dict_ema": WEIGHTS, "arch": "mlp"},
        {"ema": {"decay": 0.99, "shadow": WEIGHTS}},
        {"state_dict_ema": OTHERS, "state_dict": WEIGHTS},
        {"epoch": 1, "best_val_acc": 0.9, "opt": OPTIMIZER, "parity_model": prefixed("base_model.")},
        {"checkpoint": {"net": WEIGHTS}},
        {"generator": {"a": torch.zeros(2)}, "critic": WEIGHTS},
        (3, WEIGHTS),
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
        prefixed("_orig_mod.module."),
        {"state_dict": prefixed("model.")},
        {"state_dict": prefixed("model._orig_mod.net.")},
        {key.replace("layers.", "layers._orig_mod."): value for key, value in WEIGHTS.items()},
        prefixed("module.") | {"n_averaged": torch.tensor(3)},
        {key.removeprefix("layers."): value for key, value in WEIGHTS.items()},
        {key.replace("layers", "nn"): value for key, value in WEIGHTS.items()},
        {key: nn.Parameter(value) for key, value in WEIGHTS.items()},
        WEIGHTS | {"layers.1.total_ops": torch.zeros(1)},
    ],
)
def test_weights_are_found_however_they_are_nested_and_called(tmp_path: Path, content: Any) -> None:
    for file, old in (("net.pt", False), ("model.t7", True)):
        torch.save(content, tmp_path / file, _use_new_zipfile_serialization=not old)
        assert all(torch.equal(value, WEIGHTS[key]) for key, value in loaded(tmp_path / file).items())


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path, prefix: str) -> None:
    for name in ("net.safetensors", "net.bin"):
        safetensors.torch.save_file(prefixed(prefix), tmp_path / name)
        assert all(torch.equal(value, WEIGHTS[key]) for key, value in loaded(tmp_path / name).items())


def test_half_precision_weights_become_the_networks_own(tmp_path: Path) -> None:
    torch.save({key: value.bfloat16() for key, value in WEIGHTS.items()}, tmp_path / "half.pt")
    assert all(
        torch.equal(value, WEIGHTS[key].bfloat16().float()) for key, value in loaded(tmp_path / "half.pt").items()
    )


def test_tensors_that_two_layers_share_may_be_stored_once(tmp_path: Path) -> None:
    theirs, ours = Tied(), Tied()
    safetensors.torch.save_model(theirs, str(tmp_path / "tied.safetensors"))
    load_weights(tmp_path / "tied.safetensors", ours, KEY)
    assert torch.equal(ours.second.weight, theirs.first.weight) and torch.equal(ours.second.bias, theirs.second.bias)


def test_tensors_that_the_network_does_not_have_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(prefixed("module.") | {"module.projector.weight": torch.zeros(2, 2)}, tmp_path / "more.pt")
    with caplog.at_level(logging.WARNING):
        assert all(torch.equal(value, WEIGHTS[key]) for key, value in loaded(tmp_path / "more.pt").items())
    assert "module.projector.weight" in caplog.text and "1 tensors" in caplog.text


def test_nothing_is_said_of_weights_that_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"state_dict": prefixed("module.")}, tmp_path / "net.pt")
    with caplog.at_level(logging.WARNING):
        loaded(tmp_path / "net.pt")
    assert not caplog.records


def test_the_one_tensor_of_many_that_differs_is_named_with_both_shapes(tmp_path: Path) -> None:
    deep = MLP((1, 4, 4), 3, hidden=(8,) * 40)
    weights = deep.state_dict()
    key = list(weights)[60]
    torch.save(weights | {key: torch.zeros(5, 9)}, tmp_path / "deep.pt")
    line = refused(tmp_path / "deep.pt", deep)
    assert f"1 of another shape or type: {key} (8, 8) is (5, 9) in the file" in line
    assert "missing" not in line and "not in the network" not in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without("layers.3.bias"), ["1 missing in the file: layers.3.bias (8,)"]),
        (
            without("layers.3.bias") | {"layers.3.offset": torch.zeros(1)},
            ["1 missing in the file: layers.3.bias", "1 not in the network: layers.3.offset"],
        ),
        (WEIGHTS | {"layers.1.weight": torch.zeros(8, 16, dtype=torch.int8)}, ["layers.1.weight", "int8"]),
        (WEIGHTS | {"layers.1.weight": torch.zeros(8, 16, dtype=torch.cfloat)}, ["layers.1.weight", "complex64"]),
        (WEIGHTS | {"layers.1.bias": torch.full((8,), torch.nan)}, ["layers.1.bias", "no finite numbers"]),
        (MLP((1, 4, 4), 1000, hidden=(8, 8)).state_dict(), ["(1000, 8)", "1000 outputs and this one 3"]),
        ({f"x{key[7:]}": value.T for key, value in WEIGHTS.items()}, ["no name agrees", "(16, 8)"]),
        ({"a": torch.zeros(2)}, ["expected 6 tensors, found 1 tensors"]),
        ({}, ["a dictionary of nothing"]),
        ({"epoch": 3, "config": {"lr": 0.1}}, ["a dictionary of epoch, config"]),
        (torch.zeros(3), ["one tensor (3,)"]),
        (list(WEIGHTS.values()), ["a list"]),
        ("hello", ["a str"]),
        (None, ["a NoneType"]),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_differs(
    tmp_path: Path, content: object, words: list[str]
) -> None:
    torch.save(content, tmp_path / "other.pt")
    line = refused(tmp_path / "other.pt")
    assert all(word in line for word in words), line


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    torch.save(dict(WEIGHTS) | {"layers.5.bias": torch.zeros(9)}, tmp_path / "other.pt")
    net = network(1)
    refused(tmp_path / "other.pt", net)
    assert all(torch.equal(value, network(1).state_dict()[key]) for key, value in net.state_dict().items())
